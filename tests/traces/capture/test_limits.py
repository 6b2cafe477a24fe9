"""When a capture ends, and what it says it lacks."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread
from time import monotonic

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient, NewPartitions

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.capture import reading
from cj_pipeline.traces.capture.capture import CaptureProgress, CaptureResult, CaptureStopped, capture
from cj_pipeline.traces.capture.reading import Deadlines, Ending
from cj_pipeline.traces.capture.request import Beginning, Limits, require_usable
from cj_pipeline.traces.capture.source import CannotCapture, TopicSource
from cj_pipeline.traces.message_filter import Selection
from tests.kafka import create_topic, fresh_topic
from tests.traces.capture.topics import (
    ANOTHER_BATCH,
    NOON,
    Record,
    callback,
    captured,
    produce,
    records,
    request,
    request_ids,
    settings,
    stopped_after,
)


@pytest.fixture
def topic(kafka: str) -> str:
    name = fresh_topic("limits")
    create_topic(kafka, name, 2)
    return name


def test_an_expected_count_is_never_exceeded(kafka: str, topic: str, tmp_path: Path) -> None:
    # Each callback twice: what counts is different ones.
    produce(kafka, topic, [*records(40), *records(40), *records(20, batch=ANOTHER_BATCH)])
    for count in (1, 39, 40):
        result = captured(kafka, topic, tmp_path, f"of_{count}", limits=Limits(expected_count=count))
        assert (result.counts["taken"], result.partial, result.ending) == (count, False, "expected count reached")
    last = captured(kafka, topic, tmp_path, "of_40_again", limits=Limits(expected_count=40))
    assert last.read == 40


def test_a_count_is_awaited_beyond_the_end_of_the_topic(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(10, 2))
    late = [Record(callback(n), n % 2, NOON + n) for n in range(10, 14)]
    result = while_capturing(
        kafka, topic, tmp_path, Limits(expected_count=14, timeout_seconds=60), 10, lambda: produce(kafka, topic, late)
    )
    assert (result.counts["taken"], result.partial) == (14, False)


def test_a_count_that_is_not_reached_makes_a_partial_trace(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(10, 2))
    result = captured(kafka, topic, tmp_path, limits=Limits(expected_count=11, idle_seconds=0.3))
    assert (result.partial, result.ending) == (True, "idle")
    assert result.missing == ("11 callbacks were expected and 10 were found (idle).",)


def test_a_count_without_any_other_limit_is_not_awaited_for_ever() -> None:
    assert Limits(expected_count=5).idle_limit == 30.0
    assert Limits(expected_count=5, timeout_seconds=3600).idle_limit is None
    assert Limits(expected_count=5, follow=True).idle_limit is None
    assert Limits().idle_limit is None


def test_other_batches_do_not_keep_an_idle_capture_alive(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(4, 2))
    done = Event()

    def chatter() -> None:
        n = 0
        while not done.wait(0.05):
            n += 1
            produce(kafka, topic, [Record(callback(n, batch=ANOTHER_BATCH), n % 2)])

    talking = Thread(target=chatter)
    talking.start()
    try:
        result = captured(kafka, topic, tmp_path, limits=Limits(idle_seconds=0.5, timeout_seconds=30, follow=True))
    finally:
        done.set()
        talking.join()
    # Whole or partial: on a busy machine it may end behind what the others wrote last.
    assert (result.ending, result.counts["taken"]) == ("idle", 4)


def test_a_deadline_before_the_end_makes_a_partial_trace(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(40, 2))
    limits = Limits(timeout_seconds=1e-9)
    with pytest.MonkeyPatch.context() as patch:
        # The deadline is looked at between two steps; here after the first that brought something.
        patch.setattr("cj_pipeline.traces.capture.reading.BATCH", 7)
        patch.setattr("cj_pipeline.traces.capture.reading.Deadlines.expired", expired_after_a_message)
        result = captured(kafka, topic, tmp_path, limits=limits)
    taken = result.counts["taken"]
    assert 0 < taken < 40
    assert result.ending == "deadline"
    assert all("was read up to offset" in sentence for sentence in result.missing)


def expired_after_a_message(deadlines: Deadlines) -> Ending | None:
    return Ending.DEADLINE if deadlines.last_sign > deadlines.started + 1e-3 else None


def while_capturing(kafka: str, topic: str, tmp_path: Path, limits: Limits, after: int, then: object) -> CaptureResult:
    """Capture; when so many messages are read, do something, once."""
    todo = [then]

    def watch(now: CaptureProgress) -> None:
        if now.read >= after and todo:
            action = todo.pop()
            assert callable(action)
            action()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PROGRESS_SECONDS", 0.0)
        return capture(request(topic, tmp_path, limits=limits), settings(kafka), on_progress=watch)


def test_partitions_that_are_added_while_a_topic_is_followed_are_read(
    kafka: str, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PARTITIONS_SECONDS", 0.1)
    produce(kafka, topic, records(4, 2))

    def widen() -> None:
        admin = AdminClient({"bootstrap.servers": kafka})
        admin.create_partitions([NewPartitions(topic, 3)])[topic].result(30)
        produce(kafka, topic, [Record(callback(n), 2, NOON + n) for n in range(4, 9)])

    limits = Limits(expected_count=9, timeout_seconds=60, follow=True)
    result = while_capturing(kafka, topic, tmp_path, limits, 4, widen)
    assert result.counts["taken"] == 9
    captured_partitions = result.provenance.capture
    assert captured_partitions is not None
    assert [p.partition for p in captured_partitions.partitions] == [0, 1, 2]


def test_a_stopped_capture_keeps_its_draft_and_goes_on(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(10, 2))
    stop = Event()
    stop.set()
    with pytest.raises(CaptureStopped, match="--resume"):
        capture(request(topic, tmp_path), settings(kafka), stop=stop)
    assert not (tmp_path / "autumn").exists()
    result = captured(kafka, topic, tmp_path, beginning=Beginning.RESUME)
    assert (len(request_ids(result)), result.partial) == (10, False)


def test_a_resumed_capture_counts_what_its_draft_has(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(10, 1))
    late = captured(kafka, topic, tmp_path, "whole", limits=Limits(expected_count=8))
    stopped_after(kafka, topic, tmp_path, 3, limits=Limits(expected_count=8))
    result = captured(kafka, topic, tmp_path, beginning=Beginning.RESUME, limits=Limits(expected_count=8))
    assert (result.counts["taken"], result.sha256) == (8, late.sha256)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("scenario_id", {"scenario_id": "Autumn 2025"}),
        ("scenario_id", {"scenario_id": "../autumn"}),
        ("topic", {"topic": "no topic"}),
        ("event_type", {"selection": Selection("b", event_type="CJAssessmentCompletedV1")}),
        ("bos_batch_id", {"selection": Selection()}),
        ("bos_batch_id", {"selection": Selection("")}),
        ("model", {"selection": Selection("b", model="gpt 5")}),
        ("expected_count", {"limits": Limits(expected_count=0)}),
        ("idle_seconds", {"limits": Limits(idle_seconds=0)}),
        ("timeout_seconds", {"limits": Limits(timeout_seconds=-1)}),
    ],
)
def test_a_request_that_cannot_be_meant_names_its_field(field: str, changes: dict[str, object]) -> None:
    given: dict[str, object] = {"topic": "t", "scenario_id": "autumn", **changes}
    asked = request(str(given.pop("topic")), Path("traces"), str(given.pop("scenario_id")), **given)
    with pytest.raises(BadInput) as refused:
        require_usable(asked)
    assert refused.value.field == field
    assert refused.value.remedy


def test_idleness_is_counted_from_the_last_match() -> None:
    deadlines = Deadlines(Limits(idle_seconds=10, follow=True), started=monotonic() - 60)
    assert deadlines.expired() is None
    deadlines.last_sign = monotonic() - 10
    assert deadlines.expired() is Ending.IDLE


def test_idleness_alone_goes_on_past_the_end_until_nothing_comes(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(6, 2))
    result = captured(kafka, topic, tmp_path, limits=Limits(idle_seconds=0.5))
    assert (result.counts["taken"], result.partial, result.ending) == (6, False, "idle")


def test_a_user_whose_rights_are_withdrawn_is_not_left_waiting() -> None:
    with TopicSource(settings("127.0.0.1:1").client_config(), "callbacks") as source:
        source._complaint(KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED))
        with pytest.raises(CannotCapture, match="does not let this user read 'callbacks'"):
            source.consume(1, 0.01)


def test_a_broker_that_stays_away_is_named_again_every_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    with TopicSource(settings("127.0.0.1:1").client_config(), "callbacks") as source:
        monkeypatch.setattr("cj_pipeline.traces.capture.source.monotonic", lambda: now[0])
        for second in range(0, 121, 20):
            now[0] = 1000.0 + second
            source._complaint(KafkaError(KafkaError.BROKER_NOT_AVAILABLE))
    told = [record for record in caplog.records if "not available" in record.getMessage()]
    assert len(told) == 3
