"""The markers are where they are said to be, and the search finds them in other clothes."""

from __future__ import annotations

import base64
import json

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, LLMComparisonResultV1, TokenUsage
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.traces.message_filter import MessageFilter, MessageOutcome, Selection, Unusable
from cj_pipeline.traces.redaction.wire import METADATA_TYPES, USAGE_KEYS
from tests.traces.planted import FAILURE, SUCCESS, leaks, plant


def test_the_templates_have_every_field_of_the_wire() -> None:
    data = SUCCESS["data"]
    assert SUCCESS.keys() == CallbackEvent.model_fields.keys()
    assert data.keys() == LLMComparisonResultV1.model_fields.keys()
    assert data["token_usage"].keys() == TokenUsage.model_fields.keys()
    assert FAILURE["data"]["error_detail"].keys() == ErrorDetail.model_fields.keys()
    assert tuple(data["request_metadata"]) == tuple(METADATA_TYPES)
    assert set(data["request_metadata"]["usage"]) == USAGE_KEYS


def test_every_marker_is_in_exactly_one_message() -> None:
    messages, markers = plant()
    assert len(set(markers)) == len(markers) == len(messages) - 1
    assert leaks(markers, messages[0]) == []
    for message, marker in zip(messages[1:], markers, strict=True):
        assert leaks(markers, message) == [marker]


def test_there_are_callbacks_foreign_events_and_rubbish_among_them() -> None:
    read = [MessageFilter(Selection()).judge(message, 0) for message in plant()[0]]
    usable = sum(isinstance(one, CallbackEvent) for one in read)
    foreign = sum(isinstance(one, Unusable) and one.outcome is MessageOutcome.FOREIGN for one in read)
    assert usable > 100
    assert foreign >= 5
    assert len(read) - usable - foreign > 50


def test_no_request_id_comes_twice() -> None:
    ids = [json.loads(m)["data"]["request_id"] for m in plant()[0] if b'"request_id"' in m]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "hidden",
    [
        "of Qvistberg0007z",
        "QVISTBERG0007Z",
        b"Qvistberg0007z".hex(),
        b"Qvistberg0007z".hex().upper(),
        base64.b64encode(b"Qvistberg0007z").decode(),
        base64.b64encode(b"\xc5sa Qvistberg0007z").decode(),
        base64.b64encode(b"of Qvistberg0007z and more").decode(),
        base64.b64encode(b"{QVISTBERG0007Z}").decode(),
        "%C3%85sa%20Qvistberg0007z",
    ],
)
def test_a_marker_is_found_in_other_clothes(hidden: str) -> None:
    assert leaks(["Qvistberg0007z", "Qvistberg0008z"], f"before {hidden} after") == ["Qvistberg0007z"]
