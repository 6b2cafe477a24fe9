"""The served process on Kafka: its callbacks survive the broker, and what it could not deliver it says."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import httpx

from cj_pipeline.local.kafka_broker import KafkaBroker
from tests.kafka import create_topic, values_of
from tests.services.lps.lab import TOPIC, body, correlation_id
from tests.services.lps.served import Served, ticks

REQUESTS = 240


def correlations(bootstrap: str) -> list[str]:
    return [json.loads(value)["correlation_id"] for value in values_of(bootstrap, TOPIC, 2)]


def test_a_batch_outlives_the_broker_that_was_killed_in_its_middle(own_kafka: KafkaBroker, tmp_path: Path) -> None:
    bootstrap = own_kafka.bootstrap_servers
    create_topic(bootstrap, TOPIC, 2)
    with (
        Served(tmp_path, kafka=bootstrap, mock_latency_ms=20) as served,
        httpx.Client(base_url=served.url, timeout=10) as client,
    ):
        for number in range(REQUESTS):
            client.post("/api/v1/comparison", json=body(number)).raise_for_status()
        while len(correlations(bootstrap)) < REQUESTS // 4:
            time.sleep(0.05)
        own_kafka.kill()
        time.sleep(0.5)
        assert client.get("/healthz").status_code == 200
        own_kafka.start()
        for _ in ticks(60.0):
            found = correlations(bootstrap)
            if len(set(found)) == REQUESTS:
                break
            time.sleep(0.1)
        served.terminate()
        assert served.wait() == 0
        found = correlations(bootstrap)
    assert Counter(found) == {str(correlation_id(number)): 1 for number in range(REQUESTS)}
    (began,) = [line for line in served.log_lines() if line["event"] == "listening"]
    assert began["bus"] == f"Kafka at {bootstrap}, PLAINTEXT"


def test_a_service_without_its_broker_works_and_says_in_the_end_what_it_could_not_deliver(tmp_path: Path) -> None:
    with (
        Served(tmp_path, kafka="127.0.0.1:1", mock_latency_ms=0, shutdown_drain_seconds=0) as served,
        httpx.Client(base_url=served.url, timeout=10) as client,
    ):
        client.post("/api/v1/comparison", json=body(0)).raise_for_status()
        began = time.monotonic()
        assert client.get("/healthz").status_code == 200
        assert time.monotonic() - began < 5.0  # a check that asked the broker would take its timeout
        served.terminate()
        assert served.wait() == 0
    (told,) = [line for line in served.log_lines() if "Not delivered" in line["event"]]
    assert f"1 to '{TOPIC}'" in told["event"]
    assert told["level"] == "ERROR"
    assert "Which essay is better" not in served.log
