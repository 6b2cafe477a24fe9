"""This module makes callbacks, topics that hold them, and captures of those topics."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import Producer

from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.traces.capture import reading
from cj_pipeline.traces.capture.capture import CaptureProgress, CaptureResult, CaptureStopped, capture
from cj_pipeline.traces.capture.request import CaptureRequest, Limits
from cj_pipeline.traces.message_filter import Selection
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.redaction_policy import RedactionPolicy
from tests.contracts.messages import changed

BATCH = "3f2b8a54-0b1c-4f8e-9d53-2a7f5a4f6f11"
ANOTHER_BATCH = "99999999-0b1c-4f8e-9d53-2a7f5a4f6f11"
KEY = bytes(range(32))
NOON = 1_764_590_400_000


@dataclass(frozen=True)
class Record:
    value: bytes | None
    partition: int = 0
    timestamp_ms: int = NOON


def callback(n: int, *, batch: str = BATCH, metadata: dict[str, Any] | None = None, **data: Any) -> bytes:
    """The n-th of some callbacks, all different: eight essays, one correlation id each."""
    pair = (f"pupil {n % 8}", f"pupil {(n + 1 + n // 8 % 7) % 8}")
    told = {"essay_a_id": pair[0], "essay_b_id": pair[1], "bos_batch_id": batch, "cj_batch_id": "7"}
    return changed(
        {
            "request_id": str(keyed_uuid("request", n, batch)),
            "correlation_id": str(keyed_uuid("correlation", n, batch)),
            "response_time_ms": 1000 + n,
            "request_metadata": told | (metadata or {}),
            **data,
        }
    )


def records(count: int, partitions: int = 1, **changes: Any) -> list[Record]:
    """So many callbacks, a millisecond apart, dealt out to the partitions one by one."""
    return [Record(callback(n, **changes), n % partitions, NOON + n) for n in range(count)]


def produce(bootstrap: str, topic: str, messages: Iterable[Record]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "log_level": 0})
    for message in messages:
        producer.produce(topic, message.value, partition=message.partition, timestamp=message.timestamp_ms)
        producer.poll(0)
    assert producer.flush(30) == 0


def redaction(key: bytes = KEY) -> Redaction:
    return Redaction(RedactionPolicy(), Pseudonyms(key))


def request(topic: str, traces_dir: Path, scenario_id: str = "autumn", **changes: Any) -> CaptureRequest:
    """Everything of BATCH, redacted, to the end of the topic; a time limit keeps a broken test from hanging."""
    given: dict[str, Any] = {
        "selection": Selection(bos_batch_id=BATCH),
        "redaction": redaction(),
        "limits": Limits(timeout_seconds=60),
        **changes,
    }
    return CaptureRequest(scenario_id, traces_dir, topic=topic, **given)


def settings(bootstrap: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap)


def captured(
    bootstrap: str, topic: str, traces_dir: Path, scenario_id: str = "autumn", **changes: Any
) -> CaptureResult:
    return capture(request(topic, traces_dir, scenario_id, **changes), settings(bootstrap))


def stopped_after(bootstrap: str, topic: str, traces_dir: Path, count: int, **changes: Any) -> None:
    """Capture so many messages, and stop: a draft is left."""
    stop = Event()

    def watch(now: CaptureProgress) -> None:
        if now.read >= count:
            stop.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BATCH", 1)
        patch.setattr(reading, "PROGRESS_SECONDS", 0.0)
        with pytest.raises(CaptureStopped):
            capture(request(topic, traces_dir, **changes), settings(bootstrap), on_progress=watch, stop=stop)


def lines(result: CaptureResult) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (result.folder / "llm_callbacks.jsonl").read_bytes().splitlines()]


def request_ids(result: CaptureResult) -> list[str]:
    return [line["data"]["request_id"] for line in lines(result)]


def quarantine(result: CaptureResult) -> list[dict[str, Any]]:
    path = result.folder / "quarantine.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
