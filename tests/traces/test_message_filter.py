"""Every message is one thing and one thing only."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.topics import (
    USAGE_COMPLETED_EVENT_TYPE,
    USAGE_FAILURE_EVENT_TYPE,
    USAGE_STARTED_EVENT_TYPE,
)
from cj_pipeline.traces.message_filter import MessageFilter, MessageOutcome, Selection, Unusable
from tests.contracts.messages import DROP
from tests.traces.capture.topics import ANOTHER_BATCH, BATCH, NOON, callback

OURS = Selection(bos_batch_id=BATCH)


def judged(value: bytes | None, selection: Selection = OURS, timestamp_ms: int = NOON) -> object:
    return MessageFilter(selection).judge(value, timestamp_ms)


def escaped(value: bytes) -> bytes:
    """The same JSON with the batch id written another way."""
    return value.replace(b'"' + BATCH.encode(), b'"' + "".join(f"\\u{ord(c):04x}" for c in BATCH).encode())


def test_what_was_asked_for_is_taken() -> None:
    taken = judged(callback(1))
    assert isinstance(taken, CallbackEvent)
    assert taken.data.request_metadata["bos_batch_id"] == BATCH


def test_a_batch_id_hidden_by_escapes_is_found() -> None:
    hidden = escaped(callback(1))
    assert BATCH.encode() not in hidden
    assert isinstance(judged(hidden), CallbackEvent)


def test_a_batch_id_elsewhere_in_the_message_is_not_the_batch() -> None:
    mentioned = callback(1, batch=ANOTHER_BATCH, justification=f"better than {BATCH}")
    assert judged(mentioned) is MessageOutcome.OTHER_BATCH


@pytest.mark.parametrize(
    ("value", "selection", "outcome"),
    [
        (callback(1, batch=ANOTHER_BATCH), OURS, MessageOutcome.OTHER_BATCH),
        # Somebody else's broken callback is somebody else's business.
        (callback(1, batch=ANOTHER_BATCH, confidence=9.0), OURS, MessageOutcome.OTHER_BATCH),
        (callback(1), Selection(correlation_ids=(UUID(int=1),)), MessageOutcome.OTHER_CORRELATION),
        (callback(1), Selection(bos_batch_id=BATCH, model="gpt-4"), MessageOutcome.OTHER_MODEL),
    ],
)
def test_what_was_not_asked_for_says_why(value: bytes, selection: Selection, outcome: MessageOutcome) -> None:
    assert judged(value, selection) is outcome


def test_after_many_matches_every_message_is_still_what_it_is() -> None:
    foreign = json.dumps(json.loads(callback(1)) | {"event_type": "CJAssessmentCompletedV1"}).encode()
    for value in (
        callback(1),
        callback(1, batch=ANOTHER_BATCH),
        callback(1, batch=ANOTHER_BATCH, confidence=9.0),
        callback(1, batch=ANOTHER_BATCH, justification=f"better than {BATCH}"),
        callback(1, confidence=9.0),
        escaped(callback(1)),
        callback(1)[:-4],
        foreign,
        b"not JSON",
        None,
    ):
        filter_ = MessageFilter(OURS)
        for n in range(20):
            assert isinstance(filter_.judge(callback(n), NOON), CallbackEvent)
        expected = judged(value)
        assert [repr(filter_.judge(value, NOON)) for _ in range(3)] == [repr(expected)] * 3
        assert isinstance(filter_.judge(callback(1), NOON), CallbackEvent)


def test_time_is_of_the_record_and_its_end_is_not_included() -> None:
    noon = datetime(2025, 12, 1, 12, tzinfo=UTC)
    selection = Selection(bos_batch_id=BATCH, since=noon, until=datetime(2025, 12, 1, 12, 0, 1, tzinfo=UTC))
    assert selection.since_ms == NOON
    outcomes = {moment: judged(callback(1), selection, moment) for moment in (NOON - 1, NOON, NOON + 999, NOON + 1000)}
    assert [moment for moment, found in outcomes.items() if found is MessageOutcome.OTHER_TIME] == [
        NOON - 1,
        NOON + 1000,
    ]


@pytest.mark.parametrize(
    ("value", "field", "concerns"),
    [
        (None, "", False),
        (b"", "", False),
        (b"not JSON", "", False),
        (b"[1, 2]", "", False),
        (callback(1)[:-4], "", True),  # cut off: it still names the batch
        (callback(1, winner="Essay C"), "data.winner", True),
        (callback(1, metadata={"essay_b_id": "pupil 1"}), "data.request_metadata.essay_b_id", True),
        (callback(1, confidence=DROP), "data", True),
        (callback(1, response_time_ms=2**63), "data.response_time_ms", True),
    ],
)
def test_a_message_that_cannot_be_used_says_where_and_whether_it_is_ours(
    value: bytes | None, field: str, concerns: bool
) -> None:
    found = judged(value)
    assert isinstance(found, Unusable)
    assert (found.outcome, found.field, found.concerns) == (MessageOutcome.MALFORMED, field, concerns)


def test_an_event_of_another_type_is_foreign() -> None:
    event = json.loads(callback(1)) | {"event_type": "CJAssessmentCompletedV1"}
    found = judged(json.dumps(event).encode())
    assert isinstance(found, Unusable)
    assert (found.outcome, found.concerns) == (MessageOutcome.FOREIGN, False)


@pytest.mark.parametrize("event_type", [USAGE_STARTED_EVENT_TYPE, USAGE_COMPLETED_EVENT_TYPE, USAGE_FAILURE_EVENT_TYPE])
def test_a_usage_event_of_the_service_is_counted_and_not_quarantined(event_type: str) -> None:
    event = json.loads(callback(1)) | {"event_type": event_type, "data": {"request_id": "x", "attempt": 0}}
    assert judged(json.dumps(event).encode()) is MessageOutcome.FOREIGN


def test_a_reason_quotes_nothing_of_the_message() -> None:
    found = judged(callback(1, winner="Anna Svensson", justification="Anna Svensson"))
    assert isinstance(found, Unusable)
    assert "Anna" not in found.reason


def test_a_mistake_in_another_batch_s_callback_that_names_ours_elsewhere_is_not_ours() -> None:
    message = callback(0, batch=ANOTHER_BATCH, confidence=7.0, justification=f"see {BATCH}")
    assert judged(message) is MessageOutcome.OTHER_BATCH
