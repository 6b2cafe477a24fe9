"""`cj serve` and `lps serve` on Kafka: the broker dies, the service dies, and the batch ends once."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from confluent_kafka import Producer

from cj_pipeline.contracts.cj_events import ASSESSMENT_RESULT_TOPIC, CJ_COMPLETED_TOPIC
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.local.kafka_broker import KafkaBroker
from tests.kafka import create_topic, values_of
from tests.services.cj.lab import request
from tests.services.cj.test_served import PATIENCE_S, Process, content_service

PARTITIONS = 3
BATCHES = 2


def until(bootstrap: str, topic: str, count: int) -> list[bytes]:
    deadline = time.monotonic() + PATIENCE_S
    while len(found := values_of(bootstrap, topic, PARTITIONS)) < count:
        assert time.monotonic() < deadline, f"{topic}: {len(found)} messages"
        time.sleep(0.05)
    return found


def test_batches_survive_the_broker_and_the_process_that_were_killed_over_them(
    own_kafka: KafkaBroker, tmp_path: Path
) -> None:
    bootstrap = own_kafka.bootstrap_servers
    topics = (ASSESSMENT_REQUEST_TOPIC, COMPARISON_RESULT_TOPIC, ASSESSMENT_RESULT_TOPIC, CJ_COMPLETED_TOPIC)
    for topic in topics:
        create_topic(bootstrap, topic, PARTITIONS)
    on_kafka = ("--port", "0", "--host", "127.0.0.1", "--kafka", bootstrap)
    with content_service() as texts:
        mock = {"LLM_PROVIDER_SERVICE_USE_MOCK_LLM": "true", "LLM_PROVIDER_SERVICE_MOCK_LATENCY_MS": "20"}
        lps = Process(tmp_path, "lps", "serve", *on_kafka, **mock)
        environment = {
            "CJ_ASSESSMENT_SERVICE_CONTENT_SERVICE_URL": texts,
            "CJ_ASSESSMENT_SERVICE_SUBMISSION_LEASE_SECONDS": "0.5",
            "CJ_ASSESSMENT_SERVICE_OUTBOX_POLL_INTERVAL_SECONDS": "0.5",
            "CJ_ASSESSMENT_SERVICE_DEFAULT_LLM_PROVIDER": "mock",
        }
        arguments = [
            "cj",
            "serve",
            *on_kafka,
            "--lps",
            f"{lps.url}/api/v1",
            "--database",
            f"sqlite:///{tmp_path}/cj.db",
        ]
        running = [lps]
        try:
            running.append(Process(tmp_path, *arguments, **environment))
            producer = Producer({"bootstrap.servers": bootstrap})
            for number in range(BATCHES):
                producer.produce(ASSESSMENT_REQUEST_TOPIC, request(6, number=number), b"%d" % number)
            producer.flush(30)
            until(bootstrap, COMPARISON_RESULT_TOPIC, 5)
            own_kafka.kill()
            assert running[1].end(signal.SIGKILL) == -signal.SIGKILL
            own_kafka.start()
            running.append(Process(tmp_path, *arguments, **environment))
            until(bootstrap, CJ_COMPLETED_TOPIC, BATCHES)
            assert [process.end(signal.SIGTERM) for process in running[2:]] == [0]
        finally:
            for process in running:
                process.end(signal.SIGKILL)
    rich = [json.loads(value) for value in values_of(bootstrap, ASSESSMENT_RESULT_TOPIC, PARTITIONS)]
    assert len({event["event_id"] for event in rich}) == BATCHES
    assert {event["data"]["assessment_metadata"]["comparison_count"] for event in rich} == {30}
    callbacks = [json.loads(value) for value in values_of(bootstrap, COMPARISON_RESULT_TOPIC, PARTITIONS)]
    assert len(callbacks) == len({callback["correlation_id"] for callback in callbacks}) == 30 * BATCHES
    for line in (tmp_path / "cj.log").read_text().splitlines():
        assert json.loads(line)["service"] == "cj_assessment_service"
