"""Reading callbacks fast: bytes in; a callback, something foreign or a rejection out.

Here: three lanes that agree. Not here: the shapes (wire_callback.py), the rules of the wire (contracts/callback.py),
files (store.py).

What counts is the slow lane: `parse_callback`, then two different essay ids. The others only get there sooner.

| lane | reads | for |
|---|---|---|
| fast, 2 us | msgspec into structs that know every key | what the CJ engine and the LPS of today write |
| wide, 12 us | msgspec into dicts, unknown keys set aside, then structs | keys of a newer peer, ids that are no UUIDs |
| slow, 40 us | the models | what the others do not take: numbers as text, times without seconds, all that is wrong |

The fast and the wide lane take nothing that the slow one refuses, and read the same values from it; a property test
holds them to it. Where the two libraries differ, and what is done: msgspec rounds the seventh digit of a second that
pydantic cuts off (times stay text), and allows deeper nesting (what is nested goes to the slow lane).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

import msgspec

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.contracts.essay_ids import essay_rejection
from cj_pipeline.contracts.topics import (
    COMPARISON_RESULT_EVENT_TYPE,
    USAGE_COMPLETED_EVENT_TYPE,
    USAGE_FAILURE_EVENT_TYPE,
    USAGE_STARTED_EVENT_TYPE,
)
from cj_pipeline.traces.wire_callback import (
    WideCallback,
    WireCallback,
    WireError,
    WireMetadata,
    WireResult,
    WireTokens,
    WireUsage,
)

ANOTHER_EVENT_TYPE = "another"

# Named to people, and therefore none that only a message names: it could hold anything.
_EVENT_TYPES = frozenset(
    {
        USAGE_STARTED_EVENT_TYPE,
        USAGE_COMPLETED_EVENT_TYPE,
        USAGE_FAILURE_EVENT_TYPE,
        "ELS_CJAssessmentRequestV1",
        "CJAssessmentCompletedV1",
        "CJAssessmentFailedV1",
        "AssessmentResultV1",
        "ResourceConsumptionV1",
    }
)

# Hex digits become 0: one comparison then says whether every id and every time of a callback has its form.
_FORM = bytes(ord("0") if chr(byte) in "0123456789abcdef" else byte for byte in range(256))
_UUID = b"00000000-0000-0000-0000-000000000000"
_TIMES = tuple(
    b"0000-00-00T00:00:00" + fraction + zone for fraction in (b".000000", b".000", b"") for zone in (b"Z", b"+00:00")
)
_USUAL = b"|".join((*(_UUID,) * 4, *(_TIMES[0],) * 3))
_USED = frozenset(b"|".join((*(_UUID,) * 4, *times)) for times in product(_TIMES, repeat=3))

_ERROR_CODE = re.compile(r"[A-Z][A-Z0-9_]*")

# pydantic gives up at 200 levels. A callback has three; what has more brackets than this is read by pydantic alone.
_MOST_BRACKETS = 150

_decode = msgspec.json.Decoder(WireCallback).decode
_decode_any = msgspec.json.Decoder().decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_METADATA_TYPES = {field.name: field.type for field in msgspec.structs.fields(WireMetadata)}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Foreign:
    """A JSON object with another event type: not ours, and nothing wrong with it.

    event_type: where it is one that this system publishes; `another` otherwise, since the message could say anything.
    """

    event_type: str


def read_message(raw: bytes) -> WireCallback | Foreign | Rejection:
    """One message of a callback topic, or one line of a trace. A rejection's reason quotes nothing of the message."""
    try:
        callback = _decode(raw)
    except _UNREADABLE:
        return _widely(raw)
    data = callback.data
    form = (
        (
            f"{callback.event_id}|{callback.correlation_id}|{data.correlation_id}|{data.request_id}"
            f"|{callback.event_timestamp}|{data.requested_at}|{data.completed_at}"
        )
        .encode()
        .translate(_FORM)
    )
    if (form == _USUAL or form in _USED) and _holds(callback, raw):
        return callback
    return _widely(raw)


def _holds(callback: WireCallback, raw: bytes) -> bool:
    """What the model demands beyond shapes and forms."""
    data = callback.data
    metadata = data.request_metadata
    if metadata.essay_a_id == metadata.essay_b_id or not (metadata.essay_a_id and metadata.essay_b_id):
        return False
    try:
        datetime.fromisoformat(callback.event_timestamp)
        datetime.fromisoformat(data.requested_at)
        datetime.fromisoformat(data.completed_at)
    except ValueError:
        return False
    if data.winner:
        return isinstance(data.justification, str) and isinstance(data.confidence, float) and not data.error_detail
    error = data.error_detail
    return isinstance(error, WireError) and _error_holds(error, raw)


def _error_holds(error: WireError, raw: bytes) -> bool:
    form = f"{error.correlation_id}|{error.timestamp}".encode().translate(_FORM)
    identity, _, time = form.partition(b"|")
    try:
        datetime.fromisoformat(error.timestamp)
    except ValueError:
        return False
    return identity == _UUID and time in _TIMES and _ERROR_CODE.fullmatch(error.error_code) is not None and _flat(raw)


def _flat(raw: bytes) -> bool:
    return raw.count(b"[") + raw.count(b"{") <= _MOST_BRACKETS


def _widely(raw: bytes) -> WireCallback | Foreign | Rejection:
    """The wide lane."""
    try:
        document = _decode_any(raw)
    except _UNREADABLE:
        return _slowly(raw)
    if isinstance(document, dict):
        event_type = document.get("event_type")
        if isinstance(event_type, str) and event_type != COMPARISON_RESULT_EVENT_TYPE:
            return Foreign(event_type if event_type in _EVENT_TYPES else ANOTHER_EVENT_TYPE)
    if not _flat(raw):
        return _slowly(raw)
    try:
        callback = msgspec.convert(_split(document), WideCallback)
    except (*_UNREADABLE, _Misshapen):
        return _slowly(raw)
    return callback if _wide_forms(callback) and _holds(callback, raw) else _slowly(raw)


def _wide_forms(callback: WideCallback) -> bool:
    data = callback.data
    ids = (callback.event_id, callback.correlation_id, data.correlation_id)
    times = (callback.event_timestamp, data.requested_at, data.completed_at)
    return all(text.encode().translate(_FORM) == _UUID for text in ids) and all(
        text.encode().translate(_FORM) in _TIMES for text in times
    )


def _slowly(raw: bytes) -> WireCallback | Rejection:
    """The slow lane: the models' word."""
    event = parse_callback(raw)
    if isinstance(event, Rejection):
        return event
    return essay_rejection(event.data.request_metadata) or _rewritten(event)


def _rewritten(event: CallbackEvent) -> WideCallback:
    """An accepted event as structs: its canonical JSON, without a second check (numbers may exceed the structs')."""
    document = _split(_decode_any(event.model_dump_json(exclude_unset=True).encode()))
    data = document["data"]
    error = data.get("error_detail")
    result = data | {
        "token_usage": WireTokens(**data["token_usage"]),
        "request_metadata": msgspec.convert(data["request_metadata"], WireMetadata),
        **({"error_detail": WireError(**error)} if error is not None else {}),
    }
    return WideCallback(**(document | {"data": WireResult(**result)}))


class _Misshapen(Exception):
    """An object was expected where there is something else; the slow lane finds the words."""


def _split(document: Any) -> Document:
    """A callback's document as a WideCallback's: what no struct has a place for is set aside and counted."""
    envelope, unknown = _known(document, WireCallback)
    data, more = _known(envelope.get("data"), WireResult)
    unknown += more
    data["token_usage"], more = _known(data.get("token_usage"), WireTokens)
    unknown += more
    if data.get("error_detail") is not None:
        data["error_detail"], more = _known(data["error_detail"], WireError)
        unknown += more
    metadata, more_metadata, more = _fitting(data.get("request_metadata"))
    unknown += more
    told = envelope.get("metadata")
    if isinstance(told, dict):
        envelope["metadata"] = None
        unknown += len(told)
    return envelope | {
        "data": data | {"request_metadata": metadata},
        "more_metadata": more_metadata,
        "unknown": unknown,
        "envelope_metadata": isinstance(told, dict),
    }


def _known(document: Any, struct: type[msgspec.Struct]) -> tuple[Document, int]:
    """The part of an object that a struct has fields for, and how much else there is."""
    if not isinstance(document, dict):
        raise _Misshapen
    known = {key: document[key] for key in struct.__struct_fields__ if key in document}
    return known, len(document) - len(known)


def _fitting(metadata: Any) -> tuple[Document, Document, int]:
    """Metadata whose values have the types of the wire; all the rest of it; and how much else `usage` says."""
    known, _ = _known(metadata, WireMetadata)
    rest = {key: value for key, value in metadata.items() if key not in known}
    unknown = 0
    if isinstance(known.get("usage"), dict):
        known["usage"], unknown = _known(known["usage"], WireUsage)
    try:
        msgspec.convert(known, WireMetadata)
    except msgspec.ValidationError:
        # Key by key only where one is wrong: eight times slower, for the type is looked at anew for each.
        for key in [key for key in known if not _fits(known[key], _METADATA_TYPES[key])]:
            rest[key] = known.pop(key)
    return known, rest, unknown


def _fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
