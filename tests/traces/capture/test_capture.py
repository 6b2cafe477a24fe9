"""From a topic to a trace, on a real broker."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.traces.capture import reading
from cj_pipeline.traces.capture.capture import capture
from cj_pipeline.traces.capture.draft import CaptureDraft, draft_folder
from cj_pipeline.traces.capture.request import Beginning, Limits
from cj_pipeline.traces.capture.source import CannotCapture
from cj_pipeline.traces.captured_scenario import ScenarioChoices
from cj_pipeline.traces.draft import CallbackDraft, Place
from cj_pipeline.traces.glance import Glance
from cj_pipeline.traces.message_filter import Selection
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.redaction_policy import Justifications, RedactionPolicy
from cj_pipeline.traces.store import read_trace
from tests.guarded_kafka import GuardedBroker
from tests.kafka import create_topic, fresh_topic
from tests.traces.capture.topics import (
    ANOTHER_BATCH,
    BATCH,
    KEY,
    NOON,
    Record,
    callback,
    captured,
    lines,
    produce,
    quarantine,
    records,
    redaction,
    request,
    request_ids,
    stopped_after,
)
from tests.traces.folders import LOWER5, TRACES


@pytest.fixture
def topic(kafka: str) -> str:
    name = fresh_topic("capture")
    create_topic(kafka, name, 3)
    return name


def ids(*numbers: int) -> list[str]:
    return [str(keyed_uuid("request", n, BATCH)) for n in numbers]


def nonzero(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def test_every_match_is_found_once_and_in_the_order_of_time(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, [*records(60, 3), *records(30, 2, batch=ANOTHER_BATCH)])
    result = captured(kafka, topic, tmp_path)
    assert nonzero(result.counts) == {"taken": 60, "other_batch": 30}
    assert request_ids(result) == ids(*range(60))
    assert (result.read, result.partial, result.ending) == (90, False, "end reached")


def test_a_capture_reads_like_a_trace_and_says_where_it_is_from(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(30, 3))
    result = captured(kafka, topic, tmp_path)
    trace = read_trace(result.folder)
    assert trace.sha256 == result.sha256
    assert trace.callbacks.quarantined == ()
    provenance = trace.provenance.capture
    assert provenance is not None
    assert (provenance.topic, provenance.read, provenance.partial) == (topic, 30, False)
    assert provenance.cluster_id == AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).cluster_id
    offsets = [(p.first_offset, p.end_offset, p.next_offset, p.last_taken) for p in provenance.partitions]
    assert offsets == [(0, 10, 10, 9)] * 3


def test_the_same_messages_give_the_same_bytes_in_whatever_order_partitions_answer(
    kafka: str, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce(kafka, topic, [*records(600, 3), *records(50, 3), Record(b"not JSON", 2)])
    results = []
    for batch in (1, 7, 2000):
        monkeypatch.setattr(reading, "BATCH", batch)
        results.append(captured(kafka, topic, tmp_path, f"by_{batch}"))
    assert len({result.sha256 for result in results}) == 1
    assert [nonzero(result.counts) for result in results] == [{"taken": 600, "duplicate": 50, "malformed": 1}] * 3
    assert len({(result.folder / "quarantine.jsonl").read_bytes() for result in results}) == 1


def test_duplicates_and_contradictions_are_told_apart(kafka: str, topic: str, tmp_path: Path) -> None:
    again, against = callback(1), callback(2, winner="Essay B")
    produce(kafka, topic, [*records(9, 3), Record(again, 0, NOON + 90), Record(against, 1, NOON + 91)])
    result = captured(kafka, topic, tmp_path)
    assert nonzero(result.counts) == {"taken": 9, "duplicate": 1, "contradiction": 1}
    assert [line["data"]["winner"] for line in lines(result)] == ["Essay A"] * 9
    (entry,) = quarantine(result)
    assert (entry["partition"], entry["offset"], entry["earlier_partition"], entry["earlier_offset"]) == (1, 3, 2, 0)


def test_malformed_and_foreign_messages_are_counted_and_kept_by_where_they_stand(
    kafka: str, topic: str, tmp_path: Path
) -> None:
    foreign = json.dumps(json.loads(callback(0)) | {"event_type": "CJAssessmentCompletedV1"}).encode()
    broken = callback(3, confidence=7.0)
    produce(kafka, topic, [Record(foreign), Record(None), Record(b"{", 1), Record(broken, 2), *records(3)])
    result = captured(kafka, topic, tmp_path)
    assert nonzero(result.counts) == {"taken": 3, "foreign": 1, "malformed": 3}
    places = [(e["topic"], e["partition"], e["offset"], e["field"]) for e in quarantine(result)]
    assert places == [
        (topic, 0, 0, "event_type"),
        (topic, 0, 1, ""),
        (topic, 1, 0, ""),
        (topic, 2, 0, "data.confidence"),
    ]
    # One of them names the batch: the trace may lack a callback that it should have.
    assert result.missing == ("1 messages name what was asked for and cannot be used; quarantine.jsonl says why.",)
    assert not any("raw" in entry for entry in quarantine(result))


def test_without_redaction_everything_is_kept_as_it_came(kafka: str, topic: str, tmp_path: Path) -> None:
    odd = callback(1, metadata={"a key of a newer peer": [1, 2]})
    produce(kafka, topic, [Record(callback(0)), Record(odd), Record(b"{", 1)])
    result = captured(kafka, topic, tmp_path, redaction=None)
    assert (result.folder / "llm_callbacks.jsonl").read_bytes().splitlines() == [callback(0), odd]
    assert [entry["raw"] for entry in quarantine(result)] == ["ew=="]


def test_essays_have_pseudonyms_that_the_scenario_knows(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(30, 3))
    result = captured(kafka, topic, tmp_path)
    named = {line["data"]["request_metadata"][key] for line in lines(result) for key in ("essay_a_id", "essay_b_id")}
    assert named == {redaction().essay(f"pupil {n}") for n in range(8)}
    assert {item.id for item in read_trace(result.folder).scenario.net.items} == named


def test_a_selection_by_correlation_model_and_time(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, [*records(10, 3), Record(callback(50, model="gpt-4"), 0, NOON + 5)])
    third = UUID(str(keyed_uuid("correlation", 3, BATCH)))
    one = captured(kafka, topic, tmp_path, "one", selection=Selection(correlation_ids=(third,)))
    assert (request_ids(one), nonzero(one.counts)) == (ids(3), {"taken": 1, "other_correlation": 10})
    old = captured(kafka, topic, tmp_path, "old", selection=Selection(bos_batch_id=BATCH, model="gpt-4"))
    assert nonzero(old.counts) == {"taken": 1, "other_model": 10}
    since = datetime.fromtimestamp((NOON + 4) / 1000, UTC)
    until = datetime.fromtimestamp((NOON + 7) / 1000, UTC)
    timed = captured(kafka, topic, tmp_path, "timed", selection=Selection(BATCH, since=since, until=until))
    assert sorted(request_ids(timed)) == sorted(ids(4, 5, 6, 50))


def test_reading_begins_at_the_time_that_is_asked_for(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(30, 3))
    since = datetime.fromtimestamp((NOON + 24) / 1000, UTC)
    result = captured(kafka, topic, tmp_path, selection=Selection(BATCH, since=since))
    assert (result.read, nonzero(result.counts)) == (6, {"taken": 6})


def test_messages_of_an_aborted_transaction_are_not_captured(kafka: str, topic: str, tmp_path: Path) -> None:
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic, "log_level": 0})
    producer.init_transactions(30)
    for numbers, end in ((range(5), "commit"), (range(5, 8), "abort"), (range(8, 10), "commit")):
        producer.begin_transaction()
        for n in numbers:
            producer.produce(topic, callback(n), partition=0, timestamp=NOON + n)
        (producer.commit_transaction if end == "commit" else producer.abort_transaction)(30)
    result = captured(kafka, topic, tmp_path)
    # The last offset is the end of a transaction, which is no message; the capture ends all the same.
    assert request_ids(result) == ids(*range(5), 8, 9)
    assert (result.read, result.partial) == (7, False)


@contextmanager
def open_transaction(kafka: str, topic: str) -> Iterator[None]:
    """Offsets 3 and 4 of partition 0 are of a transaction that is open meanwhile; 5 to 7 lie behind it."""
    produce(kafka, topic, records(3))
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic, "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    for n in (3, 4):
        producer.produce(topic, callback(n), partition=0, timestamp=NOON + n)
    producer.flush(30)
    produce(kafka, topic, [Record(callback(n), 0, NOON + n) for n in (5, 6, 7)])
    yield
    producer.abort_transaction(30)


@pytest.mark.parametrize("limits", [Limits(), Limits(idle_seconds=0.8), Limits(timeout_seconds=3)])
def test_records_behind_an_open_transaction_are_missing_and_counted(
    limits: Limits, kafka: str, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "TRANSACTION_SECONDS", 0.5)
    with open_transaction(kafka, topic):
        result = captured(kafka, topic, tmp_path, limits=limits)
    assert request_ids(result) == ids(0, 1, 2)
    assert result.missing == ("Partition 0: 5 offsets behind an open transaction at offset 3.",)
    told = result.provenance.capture
    assert told is not None
    assert (told.partial, told.partitions[0].next_offset, told.partitions[0].end_offset) == (True, 3, 8)


def test_a_transaction_that_ends_in_time_is_waited_for(kafka: str, topic: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with open_transaction(kafka, topic):
            capturing = pool.submit(captured, kafka, topic, tmp_path)
            while not draft_folder(tmp_path / "autumn").exists():
                sleep(0.01)
        result = capturing.result(30)
    assert (result.ending, result.missing) == ("end reached", ())
    assert (request_ids(result), result.held_against) == (ids(0, 1, 2, 5, 6, 7), "the high watermarks of the topic")


def test_a_followed_topic_that_was_left_is_as_far_as_was_seen(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(20))
    stopped_after(kafka, topic, tmp_path, 20, limits=Limits(follow=True, timeout_seconds=60))
    result = capture(request(topic, tmp_path, beginning=Beginning.FINISH), None)
    assert (result.missing, result.held_against) == ((), None)


def test_offsets_that_were_deleted_before_a_resumed_capture_came_to_them_are_named(
    kafka: str, topic: str, tmp_path: Path
) -> None:
    produce(kafka, topic, records(20))
    stopped_after(kafka, topic, tmp_path, 5)
    admin = AdminClient({"bootstrap.servers": kafka})
    for deleted in admin.delete_records([TopicPartition(topic, 0, 12)]).values():
        deleted.result(30)
    result = captured(kafka, topic, tmp_path, beginning=Beginning.RESUME)
    assert result.missing == ("Offsets 5 to 11 of partition 0 were deleted by the cluster before they were read.",)
    assert request_ids(result) == ids(*range(5), *range(12, 20))


def test_a_resumed_capture_is_of_the_same_selection(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(20))
    stopped_after(kafka, topic, tmp_path, 5)
    for field, changes in {
        "bos_batch_id": {"selection": Selection(bos_batch_id=ANOTHER_BATCH)},
        "key_id": {"redaction": redaction(bytes(32))},
        "justifications": {"redaction": None},
        "keep_raw": {"keep_raw": True},
    }.items():
        with pytest.raises(BadInput) as refused:
            captured(kafka, topic, tmp_path, beginning=Beginning.RESUME, **changes)
        assert refused.value.field == field
    assert request_ids(captured(kafka, topic, tmp_path, beginning=Beginning.RESUME)) == ids(*range(20))


def test_a_finished_draft_is_published_without_a_broker_and_says_what_it_lacks(
    kafka: str, topic: str, tmp_path: Path
) -> None:
    produce(kafka, topic, records(20))
    stopped_after(kafka, topic, tmp_path, 5)
    result = capture(request(topic, tmp_path, beginning=Beginning.FINISH), None)
    assert request_ids(result) == ids(*range(5))
    assert result.missing == ("Partition 0 was read up to offset 5 of 20 (stopped).",)


def test_a_topic_that_was_made_anew_is_not_taken_for_the_old_one(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(20))
    stopped_after(kafka, topic, tmp_path, 5)
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([topic])[topic].result(30)
    create_topic(kafka, topic, 3)
    with pytest.raises(CannotCapture, match="deleted and made again"):
        captured(kafka, topic, tmp_path, beginning=Beginning.RESUME)


def test_a_topic_that_is_not_there_is_named_with_its_likeliest_spelling(kafka: str, topic: str, tmp_path: Path) -> None:
    with pytest.raises(CannotCapture, match=f"Did you mean '{topic}'"):
        captured(kafka, f"{topic}x", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_broker_that_never_answers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cj_pipeline.traces.capture.source.REACH_SECONDS", 0.5)
    with pytest.raises(CannotCapture, match=r"no broker answered at 127.0.0.1:1 within 0 s .*KAFKA_BOOTSTRAP_SERVERS"):
        captured("127.0.0.1:1", "any", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_capture_that_finds_nothing_says_what_it_saw_and_leaves_nothing(
    kafka: str, topic: str, tmp_path: Path
) -> None:
    produce(kafka, topic, [*records(4, batch=ANOTHER_BATCH), Record(b"{")])
    with pytest.raises(CannotCapture, match=r"none of the 5 messages .*4 other batch, 1 malformed"):
        captured(kafka, topic, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_trace_that_is_there_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "autumn").mkdir()
    with pytest.raises(BadInput, match="is there already"):
        captured("127.0.0.1:1", "any", tmp_path)


def test_a_draft_that_was_left_behind_after_publishing_is_only_cleared_away(
    kafka: str, topic: str, tmp_path: Path
) -> None:
    produce(kafka, topic, records(9, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CaptureDraft, "discard", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            captured(kafka, topic, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".autumn.capture", "autumn"]
    before = read_trace(tmp_path / "autumn").sha256
    result = captured(kafka, topic, tmp_path, beginning=Beginning.RESUME)
    assert (result.sha256, result.counts["taken"]) == (before, 9)
    assert [path.name for path in tmp_path.iterdir()] == ["autumn"]


def _interrupted(_draft: CaptureDraft) -> None:
    raise KeyboardInterrupt


def test_a_user_who_may_not_read_is_told_so(tmp_path: Path, kafka_files: KafkaArtifacts) -> None:
    with GuardedBroker(tmp_path / "kafka", "reader", "right", kafka_files) as broker:
        wrong = KafkaSettings(
            bootstrap_servers=broker.sasl_bootstrap_servers,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_username="reader",
            sasl_password="wrong",  # noqa: S106
        )
        with pytest.raises(CannotCapture, match=r"does not let this user read 'any'.*KAFKA_SASL_PASSWORD") as refused:
            capture(request("any", tmp_path / "traces"), wrong)
    assert "wrong" not in str(refused.value)
    assert not (tmp_path / "traces" / ".autumn.capture").exists()


def test_a_resumed_capture_ends_where_the_first_attempt_would_have(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(20))
    stopped_after(kafka, topic, tmp_path, 5)
    produce(kafka, topic, [Record(callback(n), 0, NOON + n) for n in range(20, 25)])
    result = captured(kafka, topic, tmp_path, beginning=Beginning.RESUME)
    assert request_ids(result) == ids(*range(20))
    assert (result.read, result.partial, result.ending) == (20, False, "end reached")


@pytest.mark.parametrize("read", [5, 19])
def test_a_finished_draft_says_what_it_lacks(read: int, kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(20))
    stopped_after(kafka, topic, tmp_path, read)
    result = capture(request(topic, tmp_path, beginning=Beginning.FINISH), None)
    assert request_ids(result) == ids(*range(read))
    assert result.missing == (f"Partition 0 was read up to offset {read} of 20 (stopped).",)


def test_what_redaction_took_out_before_a_stop_is_counted_after_it(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(20, metadata={"pupil": "Anna"}))
    stopped_after(kafka, topic, tmp_path, 5)
    result = captured(kafka, topic, tmp_path, beginning=Beginning.RESUME)
    assert result.provenance.redaction is not None
    assert result.provenance.redaction.dropped["metadata_keys"] == 20


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (
            {"redaction": Redaction(RedactionPolicy(justifications=Justifications.KEEP), Pseudonyms(KEY))},
            "justifications",
        ),
        ({"redaction": Redaction(RedactionPolicy(allowed_keys=("pupil",)), Pseudonyms(KEY))}, "allowed_keys"),
        ({"redaction": Redaction(RedactionPolicy(), Pseudonyms(bytes(32)))}, "key_id"),
        ({"redaction": None}, "key_id"),
        ({"keep_raw": True}, "keep_raw"),
    ],
)
def test_a_draft_is_finished_with_the_redaction_that_it_was_begun_with(
    changes: dict[str, Any], field: str, kafka: str, topic: str, tmp_path: Path
) -> None:
    produce(kafka, topic, records(10))
    stopped_after(kafka, topic, tmp_path, 5, **changes)
    with pytest.raises(BadInput) as refused:
        capture(request(topic, tmp_path, beginning=Beginning.FINISH), None)
    assert refused.value.field == field
    assert not (tmp_path / "autumn").exists()
    result = capture(request(topic, tmp_path, beginning=Beginning.FINISH, **changes), None)
    assert result.counts["taken"] == 5


def test_what_was_expected_at_the_beginning_is_missed_at_the_finish(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(20))
    stopped_after(kafka, topic, tmp_path, 20, limits=Limits(expected_count=30, timeout_seconds=60))
    result = capture(request(topic, tmp_path, beginning=Beginning.FINISH), None)
    assert result.partial
    assert "30" in " ".join(result.missing)


def test_what_was_read_is_kept_when_the_trace_cannot_be_made(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, records(600, 3))
    with pytest.raises(BadInput):  # the essays of LOWER5 are others
        captured(kafka, topic, tmp_path, choices=ScenarioChoices(like=TRACES / LOWER5))
    result = capture(request(topic, tmp_path, beginning=Beginning.FINISH), None)
    assert (result.counts["taken"], result.partial) == (600, False)


def test_a_topic_that_ends_with_a_commit_is_read_to_its_end_when_followed(
    kafka: str, topic: str, tmp_path: Path
) -> None:
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic, "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    for n in range(5):
        producer.produce(topic, callback(n), partition=0, timestamp=NOON + n)
    producer.commit_transaction(30)
    result = captured(kafka, topic, tmp_path, limits=Limits(follow=True, idle_seconds=0.5, timeout_seconds=30))
    assert (result.counts["taken"], result.missing, result.ending) == (5, (), "idle")


def test_a_message_that_is_not_kept_has_a_digest_under_the_key(kafka: str, topic: str, tmp_path: Path) -> None:
    name = b'"Asa Lindqvist"'
    produce(kafka, topic, [*records(3), Record(name)])
    (entry,) = quarantine(captured(kafka, topic, tmp_path))
    assert "sha256" not in entry
    assert entry["keyed_sha256"] == hmac.new(KEY, b"message\0" + name, "sha256").hexdigest()
    (plain,) = quarantine(captured(kafka, topic, tmp_path, "open", redaction=None))
    assert plain["sha256"] == hashlib.sha256(name).hexdigest()


def test_a_draft_holds_no_digest_of_a_request_id_that_is_a_name(kafka: str, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, [Record(callback(n, request_id=f"Asa Lindqvist {n % 3}"), 0, NOON + n) for n in range(6)])
    stopped_after(kafka, topic, tmp_path, 5)
    kept = b"".join(path.read_bytes() for path in draft_folder(tmp_path / "autumn").iterdir())
    names = [f"Asa Lindqvist {n}".encode() for n in range(3)]
    assert not any(name in kept or hashlib.sha256(name).digest() in kept for name in names)
    result = captured(kafka, topic, tmp_path, beginning=Beginning.RESUME)
    assert (result.counts["taken"], result.counts["duplicate"]) == (3, 3)


def test_a_disk_that_fills_up_costs_nothing_that_was_committed(
    kafka: str, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce(kafka, topic, records(300, 3))
    whole = captured(kafka, topic, tmp_path, "whole")
    take = CallbackDraft.take

    def fill_up(draft: CallbackDraft, place: Place, read: Glance, line: bytes) -> bool:
        if draft.taken == 200:
            draft._db.execute("PRAGMA max_page_count = 1")
        return take(draft, place, read, line)

    monkeypatch.setattr(reading, "BATCH", 20)
    monkeypatch.setattr(reading, "COMMIT_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(CallbackDraft, "take", fill_up)
        with pytest.raises(CjPipelineError, match="database or disk is full"):
            captured(kafka, topic, tmp_path)
    result = captured(kafka, topic, tmp_path, beginning=Beginning.RESUME)
    assert (result.sha256, result.counts, result.read) == (whole.sha256, whole.counts, 300)
