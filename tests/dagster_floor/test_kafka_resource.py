"""This module tests which cluster the Kafka resource means, and that its configuration holds no password."""

from __future__ import annotations

import pytest

from cj_pipeline.foundation.errors import BadInput
from resources.kafka import KafkaResource


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "environment:9092")
    monkeypatch.setenv("SECOND_CLUSTER_PASSWORD", "hunter2")
    for name in ("SECURITY_PROTOCOL", "SASL_MECHANISM", "SASL_USERNAME", "SASL_PASSWORD"):
        monkeypatch.delenv(f"KAFKA_{name}", raising=False)


def test_what_is_not_given_comes_from_the_environment() -> None:
    assert KafkaResource().settings().bootstrap_servers == "environment:9092"


def test_what_is_given_counts_more() -> None:
    assert KafkaResource(bootstrap_servers="given:9092").settings().bootstrap_servers == "given:9092"


def sasl(variable: str) -> KafkaResource:
    return KafkaResource(
        security_protocol="SASL_SSL", sasl_mechanism="PLAIN", sasl_username="reader", sasl_password_variable=variable
    )


def test_the_password_is_named_by_its_variable() -> None:
    resource = sasl("SECOND_CLUSTER_PASSWORD")
    assert resource.settings().client_config()["sasl.password"] == "hunter2"
    assert "hunter2" not in repr(resource)


def test_a_variable_that_is_not_set_is_an_error_that_names_it() -> None:
    with pytest.raises(BadInput, match="'NO_SUCH_VARIABLE' is no variable of this process's environment"):
        sasl("NO_SUCH_VARIABLE").settings()


def test_a_setting_that_cannot_be_used_is_named() -> None:
    with pytest.raises(BadInput, match="KAFKA_SECURITY_PROTOCOL"):
        KafkaResource(security_protocol="SASL").settings()
