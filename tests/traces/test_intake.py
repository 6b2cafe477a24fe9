"""What comes of a message: which lane reads it, what it is called, and what is said when it cannot be used."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from cj_pipeline.contracts.callback import Rejection
from cj_pipeline.traces import intake
from cj_pipeline.traces.intake import ANOTHER_EVENT_TYPE, Foreign, read_message
from cj_pipeline.traces.wire_callback import WideCallback, WireCallback
from tests.traces.folders import LOWER5, SCENARIOS, TRACES, one_event
from tests.traces.planted import leaks, plant

if TYPE_CHECKING:
    from typing import Any


def read(event: dict[str, Any]) -> WireCallback | Foreign | Rejection:
    return read_message(json.dumps(event).encode())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_committed_callback_is_read_by_the_fast_lane(scenario: str) -> None:
    lines = (TRACES / scenario / "llm_callbacks.jsonl").read_bytes().splitlines()
    assert {type(read_message(line)) for line in lines} == {WireCallback}


def test_what_a_callback_says() -> None:
    callback = read(one_event(0))
    assert isinstance(callback, WireCallback)
    assert callback.event_type == "LLMComparisonResultV1"
    assert callback.correlation_id == "f2c38a39-3977-8b83-9d5b-f493b54eb982"
    assert callback.bos_batch_id == "50f4509e-2e8c-4c62-a19d-93cf0739eefd"
    assert datetime.fromisoformat(callback.event_timestamp) == datetime(2025, 12, 2, 0, 17, 17, 276024, tzinfo=UTC)
    assert callback.data.request_id == "7908158f-dec7-8f25-927c-80ea11f0d491"
    assert callback.data.winner == "Essay B"
    assert callback.data.model == "gpt-5.1"
    assert callback.data.error_code is None
    assert callback.data.request_metadata.essay_a_id == "student::ANCHOR_ESSAY_ENG_5_363940D5"


def test_keys_that_nobody_knows_are_counted_and_those_of_the_metadata_kept_apart() -> None:
    event = one_event()
    event["tenant"] = "north"
    event["metadata"] = {"traceparent": "00-0af7", "lag": 3}
    event["data"]["judge_version"] = 7
    event["data"]["request_metadata"] |= {"wave_label": ["first"], "preferred_bundle_size": "six"}
    callback = read(event)
    assert isinstance(callback, WideCallback)
    assert callback.unknown == 4
    assert callback.envelope_metadata
    assert callback.more_metadata == {"wave_label": ["first"], "preferred_bundle_size": "six"}
    assert not callback.data.request_metadata.preferred_bundle_size


def test_a_request_id_that_is_no_uuid_is_not_the_fast_lanes() -> None:
    # Redaction need not look at ids that the fast lane let through.
    event = one_event()
    event["data"]["request_id"] = "the request of somebody"
    callback = read(event)
    assert isinstance(callback, WideCallback)
    assert callback.data.request_id == "the request of somebody"


def test_numbers_as_text_are_numbers_to_the_slow_lane() -> None:
    event = one_event()
    event["data"]["response_time_ms"] = "1603"
    event["event_id"] = event["event_id"].upper()
    event["event_timestamp"] = 1764600000
    callback = read(event)
    assert isinstance(callback, WideCallback)
    assert callback.data.response_time_ms == 1603
    assert callback.event_id == one_event()["event_id"]
    assert datetime.fromisoformat(callback.event_timestamp) == datetime(2025, 12, 1, 14, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("event_type", "told"),
    [
        ("llm_provider.request_started.v1", "llm_provider.request_started.v1"),
        ("CJAssessmentCompletedV1", "CJAssessmentCompletedV1"),
        ("Anna Andersson", ANOTHER_EVENT_TYPE),
        ("", ANOTHER_EVENT_TYPE),
    ],
)
def test_another_event_is_foreign_and_named_only_where_its_name_is_known(event_type: str, told: str) -> None:
    assert read({"event_type": event_type, "data": {}}) == Foreign(told)


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b'"LLMComparisonResultV1"', b"{}", b'{"event_type": 7}', b"\xff"])
def test_what_is_no_event_is_refused(raw: bytes) -> None:
    assert isinstance(read_message(raw), Rejection)


def test_two_different_essays_must_be_named() -> None:
    event = one_event()
    event["data"]["request_metadata"]["essay_b_id"] = event["data"]["request_metadata"]["essay_a_id"]
    assert read(event) == Rejection("data.request_metadata.essay_b_id", "the same essay as essay_a_id")
    del event["data"]["request_metadata"]["essay_b_id"]
    assert read(event) == Rejection("data.request_metadata.essay_b_id", "missing, or not a string")


def test_a_reason_names_not_even_the_character_that_is_wrong() -> None:
    event = one_event()
    event["event_id"] = "z" * 36
    assert read(event) == Rejection("event_id", "Input should be a valid UUID, invalid character")


def test_nothing_planted_is_in_a_reason_or_a_foreign_name() -> None:
    messages, markers = plant()
    told = [repr(found) for m in messages if not isinstance(found := read_message(m), WireCallback)]
    assert len(told) > 50
    assert leaks(markers, *told) == []


def test_a_million_ids_and_times_are_checked_in_one_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    # The fast lane is fast because it never leaves itself: a line of today must not reach the others.
    monkeypatch.setattr(intake, "_widely", lambda raw: pytest.fail("left the fast lane"))
    raw = (TRACES / LOWER5 / "llm_callbacks.jsonl").read_bytes().splitlines()[0]
    for written in (b"Z", b"+00:00"):
        for fraction in (b".276024", b".276", b""):
            changed = raw.replace(b".276024Z", fraction + written)
            assert type(read_message(changed)) is WireCallback
