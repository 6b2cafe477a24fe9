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
