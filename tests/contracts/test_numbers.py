"""Numbers that are none: NaN, the infinities and what overflows to them are refused wherever they stand."""

from __future__ import annotations

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from tests.contracts.messages import changed, error

# The last three are good JSON, but no double holds them: they would be read as infinity and written out as null.
NOT_FINITE = ["NaN", "Infinity", "-Infinity", "1e999", "-1E+400", "1" * 400 + ".0"]

PLACES = ["confidence", "cost_estimate", "response_time_ms"]


def with_number(message: bytes, literal: str) -> bytes:
    """The message with a bare literal where the text "HERE" stands."""
    return message.replace(b'"HERE"', literal.encode())


@pytest.mark.parametrize("literal", NOT_FINITE)
@pytest.mark.parametrize("field", PLACES)
def test_a_declared_number_must_be_finite(field: str, literal: str) -> None:
    rejection = parse_callback(with_number(changed({field: "HERE"}), literal))
    assert isinstance(rejection, Rejection)
    assert rejection.field == f"data.{field}"


@pytest.mark.parametrize("literal", NOT_FINITE)
@pytest.mark.parametrize(
    "message",
    [
        changed({"request_metadata": {"essay_a_id": "a", "essay_b_id": "b", "depth": [{"of": "HERE"}]}}),
        changed({"a_field_of_the_future": "HERE"}),
        changed(metadata={"lag": "HERE"}),
        error().replace(b'"operation": "compare"', b'"operation": "compare", "details": {"wait": "HERE"}'),
    ],
    ids=["request_metadata", "unknown field", "envelope metadata", "error details"],
)
def test_a_number_in_free_form_parts_must_be_finite_too(message: bytes, literal: str) -> None:
    assert isinstance(parse_callback(with_number(message, "1.5")), CallbackEvent)
    rejection = parse_callback(with_number(message, literal))
    assert isinstance(rejection, Rejection)
    assert "NaN" in rejection.reason


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "1" * 400, "NaN: the essay says \\u00bbInfinity\\u00ab"])
def test_text_may_say_nan(text: str) -> None:
    event = parse_callback(changed({"justification": text, "request_metadata": {"note": text}}))
    assert isinstance(event, CallbackEvent)
    assert event.data.justification == text


@pytest.mark.parametrize("literal", ["1e308", "1e-999", "1" * 300, "0.1", "-0.0"])
def test_large_and_small_numbers_are_numbers(literal: str) -> None:
    assert isinstance(parse_callback(with_number(changed({"request_metadata": {"x": "HERE"}}), literal)), CallbackEvent)
