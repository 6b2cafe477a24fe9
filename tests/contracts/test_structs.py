"""The fast decoder takes nothing that the model refuses, and reads the same from what it takes."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import datetime, timedelta

import pytest
from pydantic import BaseModel

from cj_pipeline.contracts.callback import LLMComparisonResultV1, Rejection, parse_callback, parse_result
from tests.contracts.messages import changed, error
from tests.contracts.spoilt import BYTES, LITERALS, Document, parent, places

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}

ENVELOPED: list[Document] = [
    json.loads(changed({"error_detail": None, "trace_id": None}, data_schema_uri=None, metadata=None)),
    json.loads(error()),
]
LINES = [*ENVELOPED, *(line["data"] for line in ENVELOPED)]
KINDS = ["winner", "error", "bare winner", "bare error"]


def assert_same(found: object, expected: object, where: object) -> None:
    if isinstance(expected, BaseModel):
        for name in type(expected).model_fields:
            assert_same(getattr(found, name), getattr(expected, name), where)
    elif isinstance(expected, datetime):
        assert isinstance(found, datetime)
        assert abs(found - expected) <= timedelta(microseconds=1), where
    else:
        assert (type(found), found) == (type(expected), expected), where


def assert_read_alike(raw: bytes, where: object) -> None:
    event, result = parse_callback(raw), parse_result(raw)
    if isinstance(event, Rejection):
        assert result == event, where
    else:
        assert_same(result, event.data, where)


@pytest.mark.parametrize("template", LINES, ids=KINDS)
def test_every_literal_in_every_place(template: Document) -> None:
    for place in places(template):
        document = deepcopy(template)
        parent(document, place)[place[-1]] = "@"
        text = json.dumps(document)
        for literal in LITERALS:
            assert_read_alike(text.replace('"@"', literal).encode(), (place, literal))


@pytest.mark.parametrize("position", [0, 1, 100, 400, -1])
@pytest.mark.parametrize("spoiling", BYTES)
def test_strange_bytes_are_taken_or_refused_alike(spoiling: bytes, position: int) -> None:
    for template in LINES:
        raw = json.dumps(template).encode()
        assert_read_alike(raw[:position] + spoiling + raw[position:], (position, spoiling))


@pytest.mark.parametrize("template", LINES, ids=KINDS)
def test_a_field_that_is_missing_or_unknown(template: Document) -> None:
    for place in places(template):
        without, more = deepcopy(template), deepcopy(template)
        del parent(without, place)[place[-1]]
        parent(more, place)["of_tomorrow"] = {"a": [1, None]}
        assert_read_alike(json.dumps(without).encode(), place)
        assert_read_alike(json.dumps(more).encode(), place)


def test_the_usual_lines_are_read_fast() -> None:
    # A struct, not the model: otherwise columns take three times as long and nobody would see why.
    results = [parse_result(json.dumps(line).encode()) for line in LINES]
    assert not any(isinstance(result, Rejection | LLMComparisonResultV1) for result in results)


def test_a_count_is_one_that_a_double_holds() -> None:
    assert not isinstance(parse_callback(changed({"response_time_ms": 2**53})), Rejection)
    rejection = parse_callback(changed({"response_time_ms": 2**53 + 1}))
    assert isinstance(rejection, Rejection)
    assert rejection.field == "data.response_time_ms"
