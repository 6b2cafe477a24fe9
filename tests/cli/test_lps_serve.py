"""What `cj-pipeline lps serve` says when it is set up wrongly. (Serving itself: tests/services/lps/test_served.py.)"""

from __future__ import annotations

import socket

import pytest

from tests.cli.terminal import Terminal


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("PORT", "many", "Input should be a valid integer, unable to parse string as an integer."),
        ("QUEUE_PROCESSING_MODE", "serial", "Input should be 'per_request', 'serial_bundle' or 'batch_api'."),
        ("QUEUE_BACKEND", "kafka", "Input should be 'memory' or 'redis'."),
        ("MOCK_ERROR_RATE", "7", "Input should be less than or equal to 1."),
        ("QUEUE_MAX_SIZE", "0", "Input should be greater than or equal to 1."),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv(f"LLM_PROVIDER_SERVICE_{variable}", value)
    answer = cj_pipeline("lps", "serve", "--callbacks", "somewhere")
    assert (answer.code, answer.out) == (2, "")
    told = f"error: environment: LLM_PROVIDER_SERVICE_{variable}: {complaint} Change or unset the variable."
    assert answer.err == told


def test_a_level_of_logs_that_does_not_exist_is_named_with_those_that_do(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_LOG_LEVEL", "warnning")
    answer = cj_pipeline("lps", "serve")
    assert answer.code == 2
    assert "LLM_PROVIDER_SERVICE_LOG_LEVEL: 'warnning' is not a level of logs. Did you mean 'WARNING'?" in answer.err


def test_an_unknown_mode_is_answered_with_the_known_ones(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("lps", "serve", "--mode", "eng5_anchr_gpt51_low")
    assert answer.code == 2
    assert "'eng5_anchr_gpt51_low' is not a mode. Did you mean 'eng5_anchor_gpt51_low'?" in answer.err
    assert "cj_generic_batch, default, eng5_anchor_gpt51_low" in answer.err


@pytest.mark.parametrize("arguments", [(), ("--callbacks", "somewhere")])
def test_production_says_which_variable_is_missing(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("ENVIRONMENT", "production")
    with socket.create_server(("127.0.0.1", 0)) as taken:  # a service that starts all the same would end here
        port = taken.getsockname()[1]
        answer = cj_pipeline("lps", "serve", "--host", "127.0.0.1", "--port", port, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert "Set LLM_PROVIDER_SERVICE_KAFKA_BOOTSTRAP_SERVERS to HOST:PORT of a broker." in answer.err


def test_productions_own_name_of_the_brokers_counts_before_the_bare_one(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_KAFKA_BOOTSTRAP_SERVERS", "theirs")
    answer = cj_pipeline("lps", "serve")
    assert (answer.code, answer.out) == (2, "")
    assert "'theirs' is not HOST:PORT" in answer.err


@pytest.mark.parametrize("name", ["INTERNAL_API_KEY", "COST_LIMIT_USD_PER_DAY"])
def test_what_a_variable_promises_and_is_not_done_here_is_refused_by_its_name(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"LLM_PROVIDER_SERVICE_{name}", "s3cret")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = cj_pipeline("lps", "serve", "--host", "127.0.0.1", "--port", port, "--callbacks", "somewhere")
    assert (answer.code, answer.out) == (2, "")
    assert f"environment: LLM_PROVIDER_SERVICE_{name}: is not done here" in answer.err
    assert answer.err.count("s3cret") == 0
