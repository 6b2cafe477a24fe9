"""What doctor says of Kafka: the cluster that is named, and what a broker of one's own needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.cli import doctor
from cj_pipeline.local.kafka_artifacts import KafkaArtifacts, kafka_home
from cj_pipeline.local.ports import free_port
from tests.cli.terminal import Terminal

LOOKED_AT = ("kafka", "java", "maven", "kafka files")


@pytest.fixture(autouse=True)
def _nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CJ_PIPELINE_KAFKA_DIR"):
        monkeypatch.delenv(name, raising=False)


def findings(terminal: Terminal, code: int) -> dict[str, tuple[str, str]]:
    answer = terminal("doctor", "--json")
    assert answer.code == code
    return {row["what"]: (row["state"], row["detail"]) for row in answer.document if row["what"] in LOOKED_AT}


def test_a_machine_without_any_of_it_lacks_nothing(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    found = findings(cj_pipeline, code=0)
    assert [found[what][0] for what in LOOKED_AT] == ["absent"] * 4
    assert "KAFKA_BOOTSTRAP_SERVERS is not set" in found["kafka"][1]
    assert "apt-get install default-jdk-headless" in found["java"][1]
    assert "apt-get install maven" in found["maven"][1]
    assert "cj-pipeline kafka fetch" in found["kafka files"][1]


def test_a_cluster_that_is_named_and_away_is_missing_and_its_password_stays_unsaid(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "KAFKA_TIMEOUT_S", 0.2)
    address = f"127.0.0.1:{free_port()}"
    settings = {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "capture"}
    for name, value in {**settings, "BOOTSTRAP_SERVERS": address, "SASL_PASSWORD": "planted"}.items():
        monkeypatch.setenv(f"KAFKA_{name}", value)
    found = findings(cj_pipeline, code=2)
    assert found["kafka"] == (
        "missing",
        f"nobody answers at {address} within 0.2 s; is it up, and let in with SASL_PLAINTEXT?",
    )
    assert "planted" not in str(found)


def test_a_setting_of_kafka_that_cannot_be_used_is_named(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    state, detail = findings(cj_pipeline, code=2)["kafka"]
    assert (state, "KAFKA_SASL_MECHANISM" in detail) == ("missing", True)


def test_a_cluster_that_answers_is_ok(cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch, kafka: str) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    state, detail = findings(cj_pipeline, code=0)["kafka"]
    assert (state, detail.startswith(f"{kafka}: brokers ")) == ("ok", True)


def test_files_of_kafka_that_were_changed_are_missing_by_name(cj_pipeline: Terminal) -> None:
    artifacts = KafkaArtifacts(kafka_home())
    artifacts.folder.mkdir(parents=True)
    (artifacts.folder / "extra.jar").touch()
    state, detail = findings(cj_pipeline, code=2)["kafka files"]
    assert state == "missing"
    assert f"'{artifacts.folder / 'extra.jar'}' is not part of this Kafka" in detail


def test_files_of_kafka_that_are_intact_are_ok(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch, kafka_files: KafkaArtifacts
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_KAFKA_DIR", str(kafka_files.home))
    assert findings(cj_pipeline, code=0)["kafka files"] == (
        "ok",
        f"4.3.1, every file intact, '{kafka_files.folder}'",
    )
