"""What tests of several rooms share: a Kafka broker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.local.kafka_broker import KafkaBroker
from tests.kafka import ARTIFACTS, broker_or_skip


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Function) -> None:
    """Skip what asks for a broker where there can be none.

    Here already: a skip in a fixture is reported at the test that asked for it, one line each, and one line with a
    count is what a reader wants.
    """
    needed = {"kafka_files"} if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") else {"kafka", "kafka_files"}
    if needed & set(item.fixturenames):
        broker_or_skip()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of one broker for all tests of a session; each takes topics of its own (`fresh_topic`)."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield given
        return
    broker_or_skip()
    with KafkaBroker(tmp_path_factory.mktemp("kafka"), artifacts=ARTIFACTS) as broker:
        yield broker.bootstrap_servers


@pytest.fixture(scope="session")
def kafka_files() -> KafkaArtifacts:
    """What a broker is made of, for tests that start one in a way of their own."""
    broker_or_skip()
    return ARTIFACTS


@pytest.fixture
def own_kafka(tmp_path: Path, kafka_files: KafkaArtifacts) -> Iterator[KafkaBroker]:
    """A broker that a test may kill; it runs already."""
    with KafkaBroker(tmp_path / "kafka", artifacts=kafka_files) as broker:
        yield broker
