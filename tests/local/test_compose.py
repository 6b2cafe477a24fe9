"""What compose.yaml starts is what the tests run on, and is open to nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.local.kafka_node import SETTINGS
from tests.house import REPOSITORY

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text(encoding="utf-8"))


def test_it_runs_the_kafka_that_the_pom_pins() -> None:
    assert COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{KafkaArtifacts(Path()).version}"


def test_its_kafka_behaves_as_the_one_without_docker() -> None:
    given = {name: str(value) for name, value in COMPOSE["services"]["kafka"]["environment"].items()}
    own = {f"KAFKA_{name.replace('.', '_').upper()}": value for name, value in SETTINGS.items()}
    # Names of listeners differ: a container has two, this machine one.
    listeners = {name for name in own if "LISTENER" in name}
    assert {name: given[name] for name in own.keys() & given.keys() - listeners} == {
        name: own[name] for name in own.keys() & given.keys() - listeners
    }
    # What is left out there is how long a killed node waits, and how large its buffers are.
    assert own.keys() - given.keys() - listeners == {
        "KAFKA_BROKER_SESSION_TIMEOUT_MS",
        "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS",
        "KAFKA_NUM_PARTITIONS",
        "KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE",
    }


@pytest.mark.parametrize("name", ["kafka", "redis", "postgres"])
def test_every_service_is_on_loopback_says_when_it_is_ready_and_keeps_its_data(name: str) -> None:
    service = COMPOSE["services"][name]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["healthcheck"]["test"]
    (volume,) = service["volumes"]
    assert volume.partition(":")[0] in COMPOSE["volumes"]
