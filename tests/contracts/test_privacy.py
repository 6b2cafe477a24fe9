"""A complaint about a message never repeats it: justifications quote essays, and complaints end in logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from cj_pipeline.contracts.callback import Rejection, parse_callback
from tests.contracts.messages import ERROR_DETAIL, WINNER, changed

SECRET = "My grandmother hid the letters"


def complaint(message: bytes) -> str:
    rejection = parse_callback(message)
    assert isinstance(rejection, Rejection)
    return f"{rejection.field}: {rejection.reason}"


@pytest.mark.parametrize(
    "fault",
    [
        {"winner": "Essay C"},
        {"confidence": 9},
        {"confidence": None},
        {"error_detail": ERROR_DETAIL},
        {"model": None},
        {"requested_at": "2025-11-01T12:00:00"},
    ],
)
def test_a_fault_elsewhere_does_not_bring_out_the_justification(fault: dict[str, Any]) -> None:
    assert SECRET not in complaint(changed({"justification": SECRET, **fault}))


def test_a_justification_that_is_too_long_is_not_quoted() -> None:
    assert SECRET not in complaint(changed({"justification": SECRET + "." * 500}))


def test_a_message_cut_short_is_not_quoted() -> None:
    message = changed({"justification": SECRET})
    assert SECRET not in complaint(message[: message.index(b"grandmother") + 20])


def test_a_number_that_is_none_does_not_bring_out_the_justification() -> None:
    message = changed({"justification": SECRET, "request_metadata": {"x": "HERE"}})
    assert SECRET not in complaint(message.replace(b'"HERE"', b"NaN"))


def every_key(message: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in message.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from every_key(value, (*above, key))


@pytest.mark.parametrize("place", list(every_key(WINNER)), ids=".".join)
def test_text_in_the_wrong_field_is_not_quoted_either(place: tuple[str, ...]) -> None:
    message = deepcopy(WINNER)
    target = message
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = SECRET
    if place != ("data",):  # a wrong confidence, so that there is a complaint even where any text will do
        message["data"] |= {} if place[-1] == "confidence" else {"confidence": 9}
    for word in ("grandmother", "letters"):
        assert word not in complaint(json.dumps(message).encode())
