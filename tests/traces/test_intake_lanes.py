"""The fast lanes take nothing that the models refuse, read the same from it, and leave nothing out that they take."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cj_pipeline.contracts.callback import CallbackEvent, LLMComparisonResultV1, Rejection, TokenUsage, parse_callback
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.contracts.essay_ids import essay_rejection
from cj_pipeline.traces.intake import read_message
from cj_pipeline.traces.wire_callback import WideCallback, WireCallback, WireUsage
from tests.traces.folders import SCENARIOS, TRACES
from tests.traces.planted import FAILURE, SUCCESS

Document = dict[str, Any]
Place = tuple[str, ...]


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

# JSON literals: what stands in the place of a value.
LITERALS = [
    "null", "true", "false", "0", "1", "-1", "-0", "1.0", "4.5", "5.000001", "0.9999999999999999", "1e3", "1E+2",
    "3e-400", "1e999", "-1e999", "NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "1_000", "0x10",
    "9007199254740992", "9007199254740993", "18446744073709551616", "1" * 40, "1" * 400, "1" * 5000, "1" * 400 + ".0",
    "0.1000000000000000055511151231257827", "2.2250738585072011e-308", "1.7976931348623157e308",
    "123456789012345680000.0", '""', '"1"', '"1.0"', '" 1"', '"4"', '"true"', '"null"', '"NaN"', '"Essay A"',
    '"Essay C"', '"essay a"', '"ESSAY A"', '"openai"', '"OpenAI"', '"low"', '"minimal"', '"els"', '"essay-a"',
    '"essay-b"', '"TIMEOUT"', '"TIME OUT"', '"timeout"', '"TIMEOUT\\n"', '"LLMComparisonResultV1"',
    '"LLMComparisonResultV2"', '"2025-12-01T14:24:25.910348Z"', '"2025-12-01T14:24:25.9103489Z"',
    '"2025-12-01T14:24:25.91034850Z"', '"2025-12-01T14:24:25.910Z"', '"2025-12-01T14:24:25Z"', '"2025-12-01T14:24Z"',
    '"2025-12-01T14:24:25"', '"2025-12-01 14:24:25Z"', '"2025-12-01t14:24:25z"', '"2025-12-01T14:24:25+00:00"',
    '"2025-12-01T14:24:25.910348+02:00"', '"2025-12-01T14:24:25-00:00"', '"2025-12-01T14:24:25+0200"',
    '"2025-12-01T24:00:00Z"', '"2025-12-01T23:59:60Z"', '"2025-02-29T00:00:00Z"', '"2024-02-29T00:00:00.000000Z"',
    '"0000-01-01T00:00:00Z"', '"2025-1a-01T00:00:00Z"', '"2025-12-01T14:24:25.910348+24:00"',
    '"9999-12-31T23:59:59.999999Z"', '"2025-12-01"', "1764000000", '"1764000000"',
    '"2025-12-01T14:24:25.\\u0661\\u0661\\u0661Z"', '"\\u0032025-12-01T14:24:25Z"',
    '"13541a4e-8181-81c4-9f26-e09daefb5a68"', '"13541A4E-8181-81C4-9F26-E09DAEFB5A68"',
    '"13541a4e818181c49f26e09daefb5a68"', '"{13541a4e-8181-81c4-9f26-e09daefb5a68}"',
    '"urn:uuid:13541a4e-8181-81c4-9f26-e09daefb5a68"', '"13541a4e-8181-81c4-9f26-e09daefb5a6"',
    '"13541a4e-8181-81c4-9f26-e09daefb5a68|"', '"13541a4e_8181_81c4_9f26_e09daefb5a68"',
    '"\\u00313541a4e-8181-81c4-9f26-e09daefb5a68"', '"00000000-0000-0000-0000-000000000000"', '"\\ud800"',
    '"\\ude00\\ud83d"', '"\\ud83d\\ude00"', '"\\ud83d\\u0041"', '"\\u0000"', '"\\x41"', '"a\\/b"', '"\x01"', '"\x7f"',
    '"' + "x" * 500 + '"', '"' + "x" * 501 + '"', '"' + "\u00e5" * 500 + '"', '"' + "\U0001f600" * 500 + '"',
    '"' + "\U0001f600" * 501 + '"', "[]", "{}", "[1]", '{"a": 1, "a": 2}', "[1,]", '{"a": 1,}', '{"a": 1e999}',
    '{"a": ["\\ud800"]}', '{"a": NaN}', '{"prompt_tokens": 1}', '{"prompt_tokens": 1, "more": 2}',
    '{"prompt_tokens": -1}', '{"prompt_tokens": "1"}', '{"essay_a_id": "a", "essay_b_id": "b"}',
    '{"essay_a_id": "a", "essay_b_id": "a"}', '{"essay_a_id": "a"}', "[" * 100 + "]" * 100, "[" * 149 + "]" * 149,
    "[" * 190 + "]" * 190, "[" * 250 + "]" * 250, "[" * 3000 + "]" * 3000, '{"a":' * 194 + "1" + "}" * 194,
]  # fmt: skip

BYTES = [
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\x00",
    b"\x0c",
    b"\n",
    b"x",
    b"{}",
    b'"',
    b"\\",
    b",",
    b" ",
]

# Two of them are fields of the struct that a wide callback becomes; a message must not fill those.
NEW_KEYS = ["more", "unknown", "more_metadata", "model", "winner", ""]


def places(document: Document, above: Place = ()) -> list[Place]:
    found: list[Place] = []
    for key, value in document.items():
        found.append((*above, key))
        if isinstance(value, dict):
            found += places(value, (*above, key))
    return found


def parent(document: Document, place: Place) -> Document:
    for key in place[:-1]:
        document = document[key]
    return document


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
