"""What both services say when they are given a wrong bus."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal


@pytest.mark.parametrize(("service", "folder_option"), [("lps", "--callbacks"), ("cj", "--bus")])
def test_a_folder_and_a_cluster_are_one_too_many(cj_pipeline: Terminal, service: str, folder_option: str) -> None:
    answer = cj_pipeline(service, "serve", folder_option, "somewhere", "--kafka", "127.0.0.1:1")
    assert (answer.code, answer.out) == (2, "")
    assert f"Give {folder_option} or --kafka, not both." in answer.err


@pytest.mark.parametrize("service", ["lps", "cj"])
def test_an_address_that_is_none_is_refused(cj_pipeline: Terminal, service: str) -> None:
    answer = cj_pipeline(service, "serve", "--kafka", "kafka")
    assert (answer.code, answer.out) == (2, "")
    assert "KAFKA_BOOTSTRAP_SERVERS: 'kafka' is not HOST:PORT" in answer.err


@pytest.mark.parametrize("service", ["lps", "cj"])
def test_a_variable_of_kafkas_that_cannot_be_used_is_named(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    answer = cj_pipeline(service, "serve")
    assert answer.code == 2
    assert "environment: KAFKA_SASL_MECHANISM: SASL_SSL needs one: PLAIN, SCRAM-SHA-256" in answer.err
