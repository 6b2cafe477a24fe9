"""This module tests the capture job on a real topic: the new trace, and what the event log says and must not say."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from dagster import (
    AssetCheckKey,
    AssetKey,
    AssetRecordsFilter,
    DagsterEventType,
    DagsterInstance,
    ExecuteInProcessResult,
)

from assets.capture_config import CaptureConfig
from assets.trace import trace_version
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.definitions import build_defs
from cj_pipeline.traces.capture.capture import CaptureStopped, capture
from cj_pipeline.traces.store import read_trace
from resources.kafka import KafkaResource
from resources.warehouse import WarehouseResource
from tests.dagster_floor.floor import LOWER5, TRACES, execute
from tests.dagster_floor.test_new_traces import Ticks
from tests.kafka import create_topic, fresh_topic
from tests.traces.planted import everything_below, leaks, plant

BATCH = "class-7b"


def callbacks(batch: str = BATCH) -> Iterator[bytes]:
    """The ten callbacks of the five lowest anchors, as another batch's."""
    for line in (TRACES / LOWER5 / "llm_callbacks.jsonl").read_bytes().splitlines():
        event: dict[str, Any] = json.loads(line)
        event["data"]["request_metadata"]["bos_batch_id"] = batch
        yield json.dumps(event).encode()


@pytest.fixture
def topic(kafka: str) -> str:
    """Two partitions: ten callbacks of the batch, ten of another, one message that is none."""
    return published(kafka, [*callbacks(), *callbacks("another"), b'{"not": "a callback"}'])


def published(kafka: str, messages: Sequence[bytes]) -> str:
    """A new topic of two partitions with these messages, in turn."""
    name = fresh_topic("dagster")
    create_topic(kafka, name, 2)
    producer = Producer({"bootstrap.servers": kafka})
    for number, value in enumerate(messages):
        producer.produce(name, value, partition=number % 2)
    assert producer.flush(30) == 0
    return name


class Place:
    """Folders and an instance of a test's own, as one person's machine has them."""

    def __init__(self, root: Path, kafka: str, topic: str, instance: DagsterInstance) -> None:
        self.traces = root / "traces"
        self.data = root / "data"
        self.traces.mkdir()
        self.instance = instance
        self.topic = topic
        self.kafka = KafkaResource(bootstrap_servers=kafka, topic=topic)

    def run(self, job: str, **config: object) -> ExecuteInProcessResult:
        overrides = {"warehouse": WarehouseResource(root=str(self.data)), "kafka": self.kafka}
        ops = {"capture": {"config": {"topic": self.topic, **config}}} if job == "capture_callbacks" else {}
        return (
            build_defs(traces_dir=self.traces, resource_overrides=overrides)
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                raise_on_error=False,
                run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        )

    def capture(self, **config: object) -> ExecuteInProcessResult:
        return self.run("capture_callbacks", **{"scenario_id": "captured_one", "bos_batch_id": BATCH, **config})

    def shown(self) -> dict[str, Any]:
        """Metadata of the latest materialisation of the partition."""
        records = self.instance.fetch_materializations(
            AssetRecordsFilter(AssetKey("trace"), asset_partitions=["captured_one"]), limit=1
        ).records
        materialization = records[0].asset_materialization
        assert materialization is not None
        return {name: value.value for name, value in materialization.metadata.items()} | dict(
            materialization.tags or {}
        )

    def said(self, result: ExecuteInProcessResult) -> str:
        """What a failed run gives as its reason."""
        (failed,) = (event for event in result.all_events if event.event_type is DagsterEventType.STEP_FAILURE)
        assert failed.step_failure_data.user_failure_data is not None
        return failed.step_failure_data.user_failure_data.description or ""


@pytest.fixture
def place(kafka: str, topic: str, tmp_path: Path) -> Iterator[Place]:
    home = tmp_path / "instance"
    home.mkdir()
    with DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}}) as instance:
        yield Place(tmp_path, kafka, topic, instance)


def test_a_captured_batch_is_a_whole_trace_and_a_materialised_partition_of_trace(place: Place) -> None:
    assert place.capture().success
    trace = read_trace(place.traces / "captured_one")
    assert len(trace.callbacks.events) == 10
    shown = place.shown()
    assert shown["dagster/data_version"] == trace_version(trace.folder)
    assert (shown["origin"], shown["partial"], shown["missing"]) == ("captured", False, "nothing")
    assert (shown["messages_read"], shown["messages_taken"], shown["topic"]) == (21, 10, place.topic)
    assert [row.data["read_to"] for row in shown["offsets"].records] == [11, 10]
    assert shown["redaction"]["policy"]["justifications"] == "drop"


def test_the_sensor_then_makes_it_a_partition_and_its_run_is_made(place: Place) -> None:
    ticks = Ticks(place.traces, place.instance)
    ticks.tick()
    place.capture()
    ((run_key, partition),) = ticks.asked()
    assert run_key == f"captured_one/{read_trace(place.traces / 'captured_one').sha256}"
    assert ticks.listed() == {"captured_one"}
    result = execute(str(partition), place.data, traces_dir=place.traces, instance=place.instance)
    # Whether the mock is like this recording is for parity to say; that it could be compared is what counts here.
    assert "parity/report" in {
        event.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


def verdicts(place: Place) -> list[tuple[bool, str | None]]:
    """(passed, description) of every evaluation of `trace: complete`, latest first."""
    records = place.instance.event_log_storage.get_asset_check_execution_history(
        AssetCheckKey(AssetKey("trace"), "complete"), limit=10
    )
    evaluations = [record.event.dagster_event.asset_check_evaluation_data for record in records if record.event]
    return [(evaluation.passed, evaluation.description) for evaluation in evaluations]


def test_a_whole_capture_passes_the_check_complete(place: Place) -> None:
    place.capture()
    assert verdicts(place) == [(True, "captured_one: Whole, held against the high watermarks of the topic.")]


def test_a_partial_capture_succeeds_and_its_check_says_what_is_missing(place: Place) -> None:
    assert place.capture(expected_count=12, idle_seconds=0.5).success
    shown = place.shown()
    assert shown["partial"] is True
    ((passed, description),) = verdicts(place)
    assert not passed
    assert "12" in (description or "")
    # The next run says it again, and turns no redder for it.
    result = execute("captured_one", place.data, traces_dir=place.traces, instance=place.instance)
    (complete,) = (check for check in result.get_asset_check_evaluations() if check.check_name == "complete")
    assert (complete.passed, complete.severity.value, complete.description) == (False, "WARN", description)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"since": "yesterday"}, "ops.capture.config.since: is no time."),
        ({"until": "2025-12-05T09:00:00"}, "ops.capture.config.until: has no time zone."),
        ({"correlation_ids": ["7"]}, "ops.capture.config.correlation_ids: one of them is no UUID."),
        ({"bos_batch_id": None}, "bos_batch_id: nothing says which callbacks are meant."),
        ({"scenario_id": "../elsewhere"}, "scenario_id: '../elsewhere' is not a scenario's name: it has '.'."),
        ({"like_scenario": "nobody"}, "no such"),
        # Knows the anchors by their names; in a redacted trace it would know none of them.
        ({"mode": "eng5_lower5_gpt51_low"}, "'eng5_lower5_gpt51_low' names essays"),
        ({"mode": "defualt"}, "Did you mean 'default'?"),
    ],
)
def test_a_configuration_that_cannot_be_meant_fails_with_the_field_and_leaves_nothing(
    config: dict[str, object], told: str, tmp_path: Path
) -> None:
    with DagsterInstance.ephemeral() as instance:
        # Nobody listens at port 1: these are refused before anything is connected.
        place = Place(tmp_path, "127.0.0.1:1", COMPARISON_RESULT_TOPIC, instance)
        result = place.capture(**config)
        assert not result.success
        assert told in place.said(result)
        assert list(place.traces.iterdir()) == []


def test_a_batch_that_is_not_there_makes_no_trace(place: Place) -> None:
    result = place.capture(bos_batch_id="nobody")
    assert "is what was asked for" in place.said(result)
    assert list(place.traces.iterdir()) == []


def test_what_is_there_is_not_captured_over(place: Place) -> None:
    place.capture()
    before = (place.traces / "captured_one" / "SHA256SUMS").read_bytes()
    assert "is there already" in place.said(place.capture())
    assert (place.traces / "captured_one" / "SHA256SUMS").read_bytes() == before


def test_a_capture_that_was_interrupted_is_gone_on_with_by_the_next_run(place: Place) -> None:
    config = CaptureConfig(scenario_id="captured_one", bos_batch_id=BATCH, topic=place.topic)
    interrupted = threading.Event()
    interrupted.set()
    with pytest.raises(CaptureStopped):
        capture(config.request(place.traces, place.data), place.kafka.settings(), stop=interrupted)
    assert [path.name for path in place.traces.iterdir()] == [".captured_one.capture"]
    assert place.capture().success
    assert [path.name for path in place.traces.iterdir()] == ["captured_one"]
    assert len(read_trace(place.traces / "captured_one").callbacks.events) == 10


def test_no_pupil_is_in_the_event_log_nor_in_anything_that_was_written(place: Place, tmp_path: Path) -> None:
    messages, markers = plant()
    place.topic = published(place.kafka.bootstrap_servers, messages)
    ticks = Ticks(place.traces, place.instance)
    ticks.tick()
    # The batch of the planted messages is called so; a name in the configuration would be stored with the run.
    assert place.capture(bos_batch_id="batch").success
    # More than the one that has nothing planted; what names another batch or cannot be used is not taken.
    assert place.shown()["messages_taken"] > 100
    assert [partition for _, partition in ticks.asked()] == ["captured_one"]
    execute("captured_one", place.data, traces_dir=place.traces, instance=place.instance)
    written = everything_below(tmp_path)
    assert b"ASSET_CHECK_EVALUATION" in written  # the event log is among it
    assert leaks(markers, written) == []


def test_observing_the_topic_tells_how_far_the_captures_are_behind(place: Place) -> None:
    assert observed(place) == (21, 21, [(0, 0, 11, "", 11), (1, 0, 10, "", 10)])
    place.capture()
    assert observed(place) == (21, 0, [(0, 0, 11, "11", 0), (1, 0, 10, "10", 0)])


def observed(place: Place) -> tuple[int, int, list[tuple[object, ...]]]:
    """(messages, behind, rows) of one observation."""
    result = place.run("observe_kafka")
    (event,) = result.get_asset_observation_events()
    observation = event.asset_observation_data.asset_observation
    metadata: dict[str, Any] = {name: value.value for name, value in observation.metadata.items()}
    rows = [tuple(row.data.values()) for row in metadata["offsets"].records]
    return metadata["messages"], metadata["behind"], rows


def test_without_a_cluster_both_jobs_say_which_variable_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with DagsterInstance.ephemeral() as instance:
        place = Place(tmp_path, "", COMPARISON_RESULT_TOPIC, instance)
        for result in (place.run("observe_kafka"), place.capture()):
            assert "KAFKA_BOOTSTRAP_SERVERS: names no Kafka cluster." in place.said(result)
