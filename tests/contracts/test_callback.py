"""What is a callback and what is not, field by field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback, parse_result
from tests.contracts.messages import DROP, ERROR_DETAIL, changed, error


def accepted(message: bytes) -> CallbackEvent:
    event = parse_callback(message)
    assert isinstance(event, CallbackEvent), event
    return event


def rejected(message: bytes) -> Rejection:
    rejection = parse_callback(message)
    assert isinstance(rejection, Rejection), rejection
    return rejection


def test_a_verdict_names_its_winner() -> None:
    data = accepted(changed()).data
    assert (data.succeeded, data.winning_essay()) == (True, "a")
    assert accepted(changed({"winner": "Essay B"})).data.winning_essay() == "b"


def test_an_error_has_no_winner() -> None:
    data = accepted(error()).data
    assert (data.succeeded, data.winning_essay()) == (False, None)
    assert data.error_detail is not None
    assert data.error_detail.error_code == "RATE_LIMIT"


@pytest.mark.parametrize(
    "outcome", [{"error_detail": ERROR_DETAIL}, {"winner": None}, {"winner": DROP}], ids=["both", "null", "neither"]
)
def test_there_is_exactly_one_of_winner_and_error(outcome: dict[str, Any]) -> None:
    rejection = rejected(changed(outcome))
    assert rejection.field == "data"
    assert "exactly one of winner and error_detail" in rejection.reason


@pytest.mark.parametrize("missing", ["justification", "confidence"])
@pytest.mark.parametrize("how", [None, DROP], ids=["null", "absent"])
def test_a_winner_comes_with_justification_and_confidence(missing: str, how: object) -> None:
    assert "a winner needs justification and confidence" in rejected(changed({missing: how})).reason


def test_a_justification_has_500_characters_at_most() -> None:
    # Characters, not bytes: 500 umlauts are a thousand bytes.
    assert accepted(changed({"justification": "ä" * 500})).data.justification == "ä" * 500
    assert rejected(changed({"justification": "x" * 501})).field == "data.justification"


@pytest.mark.parametrize("confidence", [1.0, 1, 3.5, 5.0])
def test_confidence_from_1_to_5(confidence: float) -> None:
    assert accepted(changed({"confidence": confidence})).data.confidence == confidence


@pytest.mark.parametrize("confidence", [0.99, 0, 5.01, -1, 0.85, "high"])
def test_confidence_outside_1_to_5(confidence: object) -> None:
    # 0.85: other services speak of confidence from 0 to 1.
    assert rejected(changed({"confidence": confidence})).field == "data.confidence"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("winner", "essay_a"),
        ("winner", "A"),
        ("provider", "azure"),
        ("response_time_ms", -1),
        ("response_time_ms", 1.5),
        ("cost_estimate", -0.01),
        ("request_id", ""),
        ("correlation_id", "not-a-uuid"),
        ("requested_at", "2025-11-01T12:00:00"),  # no zone: an hour or two off, silently
        ("completed_at", "yesterday"),
    ],
)
def test_a_bad_value_is_named_by_its_field(field: str, value: object) -> None:
    assert rejected(changed({field: value})).field == f"data.{field}"


REQUIRED = [
    "request_id",
    "correlation_id",
    "provider",
    "model",
    "response_time_ms",
    "token_usage",
    "cost_estimate",
    "requested_at",
    "completed_at",
]


@pytest.mark.parametrize("field", REQUIRED)
def test_a_required_field_is_missed_by_its_name(field: str) -> None:
    assert rejected(changed({field: DROP})).field == f"data.{field}"


def test_the_envelope_is_checked_as_well() -> None:
    assert rejected(changed(event_timestamp="2025-11-01T12:00:00")).field == "event_timestamp"
    assert rejected(changed(event_id="1")).field == "event_id"
    assert "LLMComparisonResultV1" in rejected(changed(event_type="SomethingElseV1")).reason


@pytest.mark.parametrize("code", ["rate_limit", "RATE LIMIT", "", "1X"])
def test_an_error_code_is_upper_case(code: str) -> None:
    wrong = {**ERROR_DETAIL, "error_code": code}
    message = changed({"winner": DROP, "justification": DROP, "confidence": DROP, "error_detail": wrong})
    assert rejected(message).field == "data.error_detail.error_code"


@given(st.binary(max_size=60))
def test_no_bytes_make_the_parser_raise(noise: bytes) -> None:
    assert rejected(noise).reason
    cut = changed()
    assert rejected(cut[: len(noise)] + noise).reason


def test_deep_nesting_is_refused_and_not_followed() -> None:
    # Python's own parser runs out of stack here, and a consumer that dies of a message dies of it again on restart.
    rejected(b"[" * 100_000 + b"NaN")
    rejected(changed().replace(b'"a"', b"[" * 5000 + b"NaN" + b"]" * 5000))


@pytest.mark.parametrize("read", [parse_callback, parse_result])
def test_a_winner_that_is_there_twice_is_none_unless_both_are_the_same(read: Callable[[bytes], object]) -> None:
    one = changed({"winner": "Essay A"})
    twice = one.replace(b'"winner"', b'"winner": "Essay B", "winner"', 1)
    assert twice.count(b'"winner"') == 2
    found = read(twice)
    assert isinstance(found, Rejection)
    assert found.field == "data.winner"
    assert not isinstance(read(one.replace(b'"winner"', b'"winner": "Essay A", "winner"', 1)), Rejection)


def test_a_justification_may_speak_of_winners() -> None:
    message = changed({"justification": 'They say "winner" and "winner": "Essay B".'})
    assert accepted(message).data.winning_essay() == "a"
