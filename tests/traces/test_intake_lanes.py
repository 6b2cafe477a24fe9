"""The fast lanes take nothing that the models refuse, read the same from it, and leave nothing out that they take."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import datetime

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cj_pipeline.contracts.callback import CallbackEvent, LLMComparisonResultV1, Rejection, TokenUsage, parse_callback
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.contracts.essay_ids import essay_rejection
from cj_pipeline.traces.intake import read_message
from cj_pipeline.traces.wire_callback import WideCallback, WireCallback, WireUsage
from tests.contracts.spoilt import BYTES, LITERALS, Document, parent, places
from tests.traces.folders import SCENARIOS, TRACES
from tests.traces.planted import FAILURE, SUCCESS


def with_ids(document: Document) -> Document:
    filled = deepcopy(document)
    filled["event_id"] = "63abe03a-d90f-850e-bd2d-fc23dfb93703"
    filled["correlation_id"] = filled["data"]["correlation_id"] = "13541a4e-8181-81c4-9f26-e09daefb5a68"
    filled["data"]["request_id"] = "c3f7b2cc-58f4-83af-88fd-3c2f1f733992"
    return filled


LINES: list[Document] = [
    *(json.loads((TRACES / name / "llm_callbacks.jsonl").read_bytes().splitlines()[-1]) for name in SCENARIOS),
    with_ids(SUCCESS),
    with_ids(FAILURE),
]

# Two of them are fields of the struct that a wide callback becomes; a message must not fill those.
NEW_KEYS = ["more", "unknown", "more_metadata", "model", "winner", ""]


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A line with one to three changes: values, keys left out, keys added, keys said twice, bytes."""
    document = deepcopy(draw(st.sampled_from(LINES)))
    literals: dict[str, str] = {}
    twice: list[str] = []
    for number in range(draw(st.integers(1, 3))):
        found = places(document)
        place = draw(st.sampled_from(found))
        below = parent(document, place)
        match draw(st.sampled_from(["literal", "literal", "literal", "drop", "add", "twice"])):
            case "drop":
                del below[place[-1]]
            case "literal":
                below[place[-1]] = f"@{number}@"
                literals[f'"@{number}@"'] = draw(st.sampled_from(LITERALS))
            case "add":
                below[draw(st.sampled_from(["more", "dropped", "unknown", "more_metadata", "model", "winner", ""]))] = (
                    f"@{number}@"
                )
                literals[f'"@{number}@"'] = draw(st.sampled_from(LITERALS))
            case _:
                twice.append(f'"{place[-1]}":')
    text = json.dumps(document, ensure_ascii=draw(st.booleans()), separators=(",", ":"))
    for marker, literal in literals.items():
        text = text.replace(marker, literal)
    for key in twice:
        text = text.replace(key, f"{key}{draw(st.sampled_from(LITERALS))},{key}", 1)
    raw = text.encode()
    if draw(st.integers(0, 5)) == 0:
        position = draw(st.integers(0, len(raw)))
        raw = raw[:position] + draw(st.sampled_from(BYTES)) + raw[position + draw(st.integers(0, 1)) :]
    return raw


def accepted(raw: bytes) -> CallbackEvent | None:
    """The word that counts."""
    event = parse_callback(raw)
    if isinstance(event, Rejection) or essay_rejection(event.data.request_metadata) is not None:
        return None
    return event


def values_of_model(event: CallbackEvent) -> Document:
    document = json.loads(event.model_dump_json(exclude_unset=True))
    envelope = {key: document[key] for key in document if key in CallbackEvent.model_fields}
    data = {key: value for key, value in document["data"].items() if key in LLMComparisonResultV1.model_fields}
    data["token_usage"] = {k: v for k, v in data["token_usage"].items() if k in TokenUsage.model_fields}
    if data.get("error_detail") is not None:
        data["error_detail"] = {k: v for k, v in data["error_detail"].items() if k in ErrorDetail.model_fields}
    usage = data["request_metadata"].get("usage")
    if isinstance(usage, dict):
        data["request_metadata"]["usage"] = {k: v for k, v in usage.items() if k in WireUsage.__struct_fields__}
    if envelope.get("metadata") is not None:
        envelope["metadata"] = {}
    return with_instants(envelope | {"data": data})


def values_of_struct(callback: WireCallback) -> Document:
    document: Document = msgspec.to_builtins(callback)
    if isinstance(callback, WideCallback):
        for key in ("more_metadata", "unknown", "envelope_metadata"):
            del document[key]
        document["data"]["request_metadata"] |= callback.more_metadata
        if callback.envelope_metadata:
            document["metadata"] = {}
    return with_instants(document)


def with_instants(document: Document) -> Document:
    def instant(text: str) -> datetime:
        found = datetime.fromisoformat(text)
        assert found.tzinfo is not None
        return found

    data = document["data"]
    changed = data | {key: instant(data[key]) for key in ("requested_at", "completed_at")}
    if data.get("error_detail") is not None:
        changed["error_detail"] = data["error_detail"] | {"timestamp": instant(data["error_detail"]["timestamp"])}
    return document | {"event_timestamp": instant(document["event_timestamp"]), "data": changed}


@settings(max_examples=600, deadline=None)
@given(spoilt())
@example(b"")
@example(b"null")
@example(b"[" * 100_000)
def test_a_message_is_read_exactly_when_the_models_take_it(raw: bytes) -> None:
    event = accepted(raw)
    read = read_message(raw)
    assert isinstance(read, WireCallback) == (event is not None)
    if event is not None:
        assert isinstance(read, WireCallback)
        assert values_of_struct(read) == values_of_model(event)


@pytest.mark.parametrize("template", LINES, ids=range(len(LINES)))
def test_every_literal_in_every_place(template: Document) -> None:
    # Where the property test draws, this one is complete: 133 literals in every place of one line of each kind.
    for place in places(template):
        document = deepcopy(template)
        parent(document, place)[place[-1]] = "@"
        text = json.dumps(document)
        for literal in LITERALS:
            raw = text.replace('"@"', literal).encode()
            event = accepted(raw)
            read = read_message(raw)
            assert isinstance(read, WireCallback) == (event is not None), (place, literal)
            if event is not None:
                assert isinstance(read, WireCallback)
                assert values_of_struct(read) == values_of_model(event), (place, literal)


@pytest.mark.parametrize("position", [0, 1, 100, 700, -1])
@pytest.mark.parametrize("spoiling", BYTES)
def test_strange_bytes_are_taken_or_refused_alike(spoiling: bytes, position: int) -> None:
    for template in LINES:
        raw = json.dumps(template).encode()
        raw = raw[:position] + spoiling + raw[position:]
        assert isinstance(read_message(raw), WireCallback) == (accepted(raw) is not None)
