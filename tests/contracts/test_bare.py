"""A verdict without an envelope, as production's own capture writes it, is a callback."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, callback_json, parse_callback
from tests.contracts.messages import DROP, WINNER, changed, error


def bare(message: bytes) -> bytes:
    return json.dumps(json.loads(message)["data"]).encode()


def accepted(message: bytes) -> CallbackEvent:
    event = parse_callback(message)
    assert isinstance(event, CallbackEvent), event
    return event


@pytest.mark.parametrize("message", [changed(), error()], ids=["winner", "error"])
def test_a_bare_verdict_is_read_as_the_enveloped_one(message: bytes) -> None:
    event = accepted(bare(message))
    assert event.data == accepted(message).data
    assert (event.bare, accepted(message).bare) == (True, False)


def test_the_envelope_follows_from_the_verdict() -> None:
    event = accepted(bare(changed()))
    assert event == accepted(bare(changed()))
    assert event.correlation_id == event.data.correlation_id
    assert event.event_timestamp == event.data.completed_at
    assert event.event_id != accepted(bare(changed({"completed_at": "2025-11-01T12:00:03Z"}))).event_id


def test_a_bare_verdict_is_written_bare_with_the_fields_it_came_with() -> None:
    data: dict[str, Any] = {**WINNER["data"], "of_tomorrow": [1]}
    event = accepted(json.dumps(data).encode())
    assert json.loads(callback_json(event)) == data
    assert accepted(callback_json(event)) == event
    assert json.loads(callback_json(accepted(changed()))) == WINNER


def test_it_stays_bare_when_it_is_changed() -> None:
    event = accepted(bare(changed()))
    assert event.model_copy(update={"source_service": "another"}).bare


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (bare(changed({"confidence": 9})), "confidence"),
        (bare(changed({"model": DROP})), "model"),
        (bare(changed({"winner": None})), ""),
        (bare(changed({"request_metadata": {"x": "HERE"}})).replace(b'"HERE"', b"NaN"), ""),
        (b'{"request_id": "of something else"}', "correlation_id"),
    ],
)
def test_a_complaint_names_the_field_as_the_line_does(message: bytes, field: str) -> None:
    rejection = parse_callback(message)
    assert isinstance(rejection, Rejection)
    assert rejection.field == field


def test_a_byte_order_mark_does_not_matter() -> None:
    for message in (changed(), bare(changed())):
        assert parse_callback(b"\xef\xbb\xbf" + message) == accepted(message)


MISTYPED = {
    "response_time_ms": 1600.0,
    "confidence": "4.0",
    "cost_estimate": True,
    "requested_at": 1761998400,
    "token_usage": {"prompt_tokens": "1200", "completion_tokens": 40, "total_tokens": 1240},
}


@pytest.mark.parametrize("wrap", [lambda message: message, bare])
def test_values_of_another_json_type_are_read_remembered_and_written_as_they_came(wrap: Any) -> None:
    message = wrap(changed(MISTYPED))
    event = accepted(message)
    assert (event.data.response_time_ms, event.data.confidence) == (1600, 4.0)
    assert event.mistyped == {
        ("data", "response_time_ms"): 1600.0,
        ("data", "confidence"): "4.0",
        ("data", "cost_estimate"): True,
        ("data", "requested_at"): 1761998400,
        ("data", "token_usage", "prompt_tokens"): "1200",
    }
    assert json.loads(callback_json(event)) == json.loads(message)
    assert accepted(callback_json(event)).mistyped == event.mistyped


def test_a_whole_number_in_the_place_of_any_number_has_the_right_type() -> None:
    assert not accepted(changed({"confidence": 4, "cost_estimate": 0})).mistyped


def test_a_copy_with_another_verdict_is_written_with_its_own_values() -> None:
    event = accepted(changed(MISTYPED))
    copy = event.model_copy(update={"data": event.data.model_copy(update={"confidence": 2.5})})
    assert not copy.mistyped
    assert json.loads(callback_json(copy))["data"]["confidence"] == 2.5
