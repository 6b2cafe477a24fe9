"""Callbacks with a marker in every place that can hold a text, and the search for what came through.

Here: `plant`, `leaks`. Not here: any assertion. A marker is the name of a pupil who does not exist; one of them in a
redacted trace, its file names, a log or an error is a leak.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

Document = dict[str, Any]
Place = tuple[str, ...]

# Where the model wants a text of a certain form, a marker makes the message one that cannot be used. It is planted all
# the same: an unusable message must not leak either.

_TIME = "2025-12-01T14:24:25.910348Z"

_METADATA: Document = {
    "essay_a_id": "essay-a",
    "essay_b_id": "essay-b",
    "bos_batch_id": "batch",
    "cj_batch_id": "138",
    "cj_source": "els",
    "cj_request_type": "cj_comparison",
    "reasoning_effort": "low",
    "output_verbosity": "medium",
    "cj_llm_batching_mode": "serial_bundle",
    "preferred_bundle_size": 6,
    "comparison_iteration": 0,
    "retry_iteration": 1,
    "resolved_provider": "openai",
    "queue_processing_mode": "serial_bundle",
    "resolved_model": "gpt-5.1",
    "prompt_sha256": "4149a066e734b9b75b64c2b40a626368019c2d9784d4599765f630cb426393d2",
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 17,
        "total_tokens": 22,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 5,
    },
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 5,
    "streaming_simulated": True,
    "cost_known": False,
    "confidence_known": False,
    "tokens_known": False,
    "asks": 2,
    "forgiven": ["confidence_outside", "text_around"],
}
_DATA: Document = {
    "request_id": "",
    "correlation_id": "",
    "winner": "Essay A",
    "justification": "The first is clearer.",
    "confidence": 4.5,
    "error_detail": None,
    "provider": "openai",
    "model": "gpt-5.1",
    "response_time_ms": 1603,
    "token_usage": {"prompt_tokens": 5, "completion_tokens": 17, "total_tokens": 22},
    "cost_estimate": 0.02,
    "requested_at": _TIME,
    "completed_at": _TIME,
    "trace_id": None,
    "request_metadata": _METADATA,
}
SUCCESS: Document = {
    "event_id": "",
    "event_type": "LLMComparisonResultV1",
    "event_timestamp": _TIME,
    "source_service": "llm_provider_service",
    "schema_version": 1,
    "correlation_id": "",
    "data_schema_uri": None,
    "data": _DATA,
    "metadata": None,
}
FAILURE: Document = deepcopy(SUCCESS)
FAILURE["data"] |= {
    "winner": None,
    "justification": None,
    "confidence": None,
    "error_detail": {
        "error_code": "RATE_LIMIT",
        "message": "openai answered with HTTP status 429.",
        "correlation_id": "13541a4e-8181-81c4-9f26-e09daefb5a68",
        "timestamp": _TIME,
        "service": "llm_provider_service",
        "operation": "process_comparison",
        "details": {
            "status_code": 429,
            "error_type": "rate_limit",
            "reason": "no_credit",
            "response_time_ms": 1603,
            "token_usage": {"prompt_tokens": 5, "completion_tokens": 17, "total_tokens": 22},
            "cost_estimate": 0.02,
            "asks": 2,
            "provider": "openai",
            "model": "gpt-5.1",
            "exception": "ReadTimeout",
            "provider_error_code": "insufficient_quota",
            "retry_after_s": 1.5,
            "retryable": True,
        },
        "stack_trace": None,
        "trace_id": None,
        "span_id": None,
    },
}


def plant() -> tuple[list[bytes], list[str]]:
    """Messages, and the markers in them. The first message has none; each of the others differs from it in one place.

    Planted is in every field of both outcomes, in unknown keys and values at every level, in an envelope's metadata, in
    events of another type and in what is no JSON. Deterministic.
    """
    names = _names()
    messages = [_message(SUCCESS, 0)]
    markers: list[str] = []
    serial = count(1)

    def add(document: Document, name: str) -> None:
        markers.append(name)
        messages.append(_message(document, next(serial)))

    for template in (SUCCESS, FAILURE):
        for place in _places(template):
            for text in (_spoken, _as_code):
                name = next(names)
                add(_with(template, place, text(name)), name)
        for place in _objects(template):
            for value in ("word", {"deep": ["word", {"deeper": "word"}]}):
                name = next(names)
                add(_with(template, (*place, _spoken(name)), value), name)
                name = next(names)
                add(
                    _with(template, (*place, "note"), json.loads(json.dumps(value).replace("word", _spoken(name)))),
                    name,
                )
    for key in ("traceparent", "about"):
        name = next(names)
        add(_with(SUCCESS, ("metadata",), {key: _spoken(name)}), name)
    name = next(names)
    add(_with(SUCCESS, ("metadata",), {_spoken(name): 1}), name)
    for raw in ('{{"about": "{}"', "{}", '"{}"', '["{}"]', '{{"event_type": "{}"}}', '{{"event_type": 7, "of": "{}"}}'):
        name = next(names)
        markers.append(name)
        messages.append(raw.format(_spoken(name)).encode())
    return messages, markers


def leaks(markers: Sequence[str], *contents: bytes | str) -> list[str]:
    """The markers that are in one of the contents: in any letters, as hex, as base64, percent-encoded."""
    text = b"\n".join(content.encode() if isinstance(content, str) else content for content in contents)
    lower = text.lower()
    return [marker for marker in markers if _occurs(marker.encode(), text, lower)]


def everything_below(folder: Path) -> bytes:
    """Every file's path and content."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return b"\n".join(str(path.relative_to(folder)).encode() + b"\n" + path.read_bytes() for path in files)


def _names() -> Iterator[str]:
    # Only letters and digits, so that no encoding of JSON or of an address changes them; none is part of another.
    return (f"Qvistberg{number:04d}z" for number in count(1))


def _spoken(name: str) -> str:
    return f"Åsa {name}"


def _as_code(name: str) -> str:
    """As an error code, a model, a topic: wherever a pattern wants no spaces."""
    return name.upper()


def _message(document: Document, serial: int) -> bytes:
    """With ids of its own wherever it has none planted."""
    ids = [str(UUID(int=(kind << 96) + serial, version=4)) for kind in range(3)]
    filled = deepcopy(document)
    filled["event_id"] = filled["event_id"] or ids[0]
    filled["correlation_id"] = filled["correlation_id"] or ids[1]
    filled["data"]["correlation_id"] = filled["data"]["correlation_id"] or ids[1]
    filled["data"]["request_id"] = filled["data"]["request_id"] or ids[2]
    return json.dumps(filled, ensure_ascii=serial % 2 == 0).encode()


def _places(document: Document, above: Place = ()) -> Iterator[Place]:
    """Every place that holds something else than an object."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _places(value, (*above, key))
        else:
            yield (*above, key)


def _objects(document: Document, above: Place = ()) -> Iterator[Place]:
    yield above
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _objects(value, (*above, key))


def _with(document: Document, place: Place, value: object) -> Document:
    changed = deepcopy(document)
    *above, last = place
    below = changed
    for key in above:
        below = below[key]
    below[last] = value
    return changed


def _occurs(marker: bytes, text: bytes, lower: bytes) -> bool:
    if marker.lower() in lower:
        return True
    for spelling in (marker, marker.upper(), marker.lower()):
        if spelling.hex().encode() in lower or any(coded in text for coded in _base64(spelling)):
            return True
    return False


def _base64(marker: bytes) -> Iterator[bytes]:
    """What of a marker's base64 does not depend on what stands around it, for each of the three ways it can fall."""
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + marker)
        yield coded[-(-shift * 8 // 6) : (shift + len(marker)) * 8 // 6]
