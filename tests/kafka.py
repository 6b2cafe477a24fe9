"""This module makes and reads the topics of tests with a real broker, and says why there is no broker."""

from __future__ import annotations

import os
import uuid
from functools import cache

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.local.programs import Unavailable, java
from tests.house import REPOSITORY

# Looked up once, at import: tests give the data folder other places.
ARTIFACTS = KafkaArtifacts(
    (REPOSITORY / os.environ["CJ_PIPELINE_KAFKA_DIR"])
    if "CJ_PIPELINE_KAFKA_DIR" in os.environ
    else REPOSITORY / "data" / "kafka"
)


@cache
def what_is_missing() -> str | None:
    """Why no broker can be started here; None when one can. Fetches it, the first time."""
    try:
        java()
        ARTIFACTS.verified()
    except Unavailable as error:
        return str(error)
    return None


def fresh_topic(name: str) -> str:
    """A topic that no other test and no earlier session has used."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


def create_topic(bootstrap: str, topic: str, partitions: int = 1) -> None:
    """Make a topic, and return once its partitions can be written and read."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)
    while True:
        found = admin.list_topics(topic, timeout=30).topics[topic].partitions
        if len(found) == partitions and all(partition.leader >= 0 for partition in found.values()):
            return


def values_of(bootstrap: str, topic: str, partitions: int = 1) -> list[bytes]:
    """The values of all messages that a topic holds now, partition by partition."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    values: list[bytes] = []
    ended: set[int] = set()
    try:
        while len(ended) < partitions:
            message = consumer.poll(30)
            assert message is not None, "the broker does not answer"
            error = message.error()
            if error is None:
                values.append(message.value())
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add(message.partition())
    finally:
        consumer.close()
    return values
