"""Which bus is used: what was named counts before the environment, and a folder is the last resort."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.bus.factory import create_bus
from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.bus.kafka.bus import KafkaBus
from cj_pipeline.foundation.errors import BadInput

OURS, DEFAULT = Path("ours"), Path("default")


@pytest.mark.parametrize(
    ("folder", "cluster", "exported", "shown"),
    [
        (None, None, None, "folder default"),
        (None, None, "", "folder default"),
        (OURS, None, None, "folder ours"),
        (OURS, None, "exported:1", "folder ours"),
        (None, None, "exported:1", "Kafka at exported:1, PLAINTEXT"),
        (None, "given:1", "exported:1", "Kafka at given:1, PLAINTEXT"),
        (None, "given:1", None, "Kafka at given:1, PLAINTEXT"),
    ],
)
def test_the_nearest_word_counts_and_the_bus_says_which_it_is(
    folder: Path | None, cluster: str | None, exported: str | None, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    if exported is not None:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", exported)
    bus = create_bus(folder, cluster, DEFAULT)
    assert isinstance(bus, KafkaBus if "Kafka" in shown else FolderBus)
    assert str(bus) == shown


def test_what_a_log_calls_it_has_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "cj"}.items():
        monkeypatch.setenv(f"KAFKA_{name}", value)
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "s3cret")
    assert str(create_bus(None, "given:1", DEFAULT)) == "Kafka at given:1, SASL_SSL"


def test_a_cluster_that_is_named_wrongly_is_no_reason_to_use_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "http://kafka")
    with pytest.raises(BadInput, match="KAFKA_BOOTSTRAP_SERVERS: 'http://kafka' is not HOST:PORT"):
        create_bus(None, None, DEFAULT)
