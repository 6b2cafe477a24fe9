"""Whatever ends a capture or a broker, nothing is lost and nothing doubled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cj_pipeline.local.kafka_broker import KafkaBroker
from cj_pipeline.traces.capture import reading, source
from cj_pipeline.traces.capture.capture import CaptureProgress, capture
from cj_pipeline.traces.capture.request import Limits
from tests.house import REPOSITORY
from tests.kafka import create_topic, fresh_topic
from tests.traces.capture.topics import Record, callback, captured, produce, records, request, settings


def test_a_capture_killed_at_twenty_points_and_resumed_gives_the_same_bytes(kafka: str, tmp_path: Path) -> None:
    topic = fresh_topic("killed")
    create_topic(kafka, topic, 3)
    foreign = callback(0).replace(b"LLMComparisonResultV1", b"SomethingElseV1")
    produce(kafka, topic, [*records(900, 3), *records(100, 3), Record(b"not JSON", 1), Record(foreign, 2)])
    arguments = [kafka, topic, str(tmp_path), "20", "7"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.traces.capture.victim", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    undisturbed, digests, killed, leftovers = json.loads(done.stdout)
    assert killed == 20
    assert digests == [undisturbed] * len(digests)
    assert leftovers == []
    # Counts too are those of one reading, and not of several that overlap.
    provenance = json.loads((tmp_path / "killed_1" / "provenance.json").read_text())
    counts = {name: count for name, count in provenance["capture"]["counts"].items() if count}
    assert counts == {"taken": 900, "duplicate": 100, "foreign": 1, "malformed": 1}


def test_a_broker_killed_and_started_again_costs_nothing(
    own_kafka: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka, topic = own_kafka.bootstrap_servers, fresh_topic("broker")
    create_topic(kafka, topic, 2)
    produce(kafka, topic, records(3000, 2))
    undisturbed = captured(kafka, topic, tmp_path, "undisturbed")
    # Little at a time, so that most of it is still on the broker when that dies.
    few = {"queued.min.messages": 20, "queued.max.messages.kbytes": 32, "fetch.message.max.bytes": 8192}
    monkeypatch.setattr(source, "_CONSUMER", {**source._CONSUMER, **few})
    monkeypatch.setattr(reading, "BATCH", 50)
    monkeypatch.setattr(reading, "PROGRESS_SECONDS", 0.0)
    dead: list[int] = []

    def watch(now: CaptureProgress) -> None:
        if now.read >= 500 and not dead:
            dead.append(now.read)
            own_kafka.kill()
            own_kafka.start()

    result = capture(request(topic, tmp_path, "disturbed"), settings(kafka), on_progress=watch)
    assert 500 <= dead[0] < 3000
    assert (result.sha256, result.partial) == (undisturbed.sha256, False)
    assert result.counts == undisturbed.counts


def test_a_broker_that_stays_away_ends_a_capture_at_its_deadline(
    own_kafka: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kafka, topic = own_kafka.bootstrap_servers, fresh_topic("away")
    create_topic(kafka, topic)
    produce(kafka, topic, records(10))
    monkeypatch.setattr(reading, "PROGRESS_SECONDS", 0.0)

    def watch(now: CaptureProgress) -> None:
        if now.read >= 10:
            own_kafka.kill()

    limits = Limits(expected_count=11, timeout_seconds=4.0)
    result = capture(request(topic, tmp_path, limits=limits), settings(kafka), on_progress=watch)
    assert (result.counts["taken"], result.ending) == (10, "deadline")
    assert result.missing == ("11 callbacks were expected and 10 were found (deadline).",)
    # librdkafka complains of every attempt to connect; the log says each thing once.
    said = [record.getMessage() for record in caplog.records if record.name.endswith("capture.source")]
    assert len(said) == len(set(said)) <= 4
