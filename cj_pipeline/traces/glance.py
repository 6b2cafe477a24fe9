"""This module reads the few fields of a kept line that its draft and its trace are made of. It validates nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import msgspec

from cj_pipeline.contracts.engine_settings import MetadataHint
from cj_pipeline.contracts.essay_ids import ESSAY_KEYS


class _Error(msgspec.Struct, gc=False):
    error_code: str


class _Result(msgspec.Struct, gc=False):
    request_id: str
    correlation_id: str
    request_metadata: dict[str, msgspec.Raw]
    winner: str | None = None
    error_detail: _Error | None = None


class _Event(msgspec.Struct, gc=False):
    data: _Result


@dataclass(frozen=True, slots=True)
class Glance:
    """Some fields of one line. outcome: `Essay A`, `Essay B` or the code of an error. hints: those it carries."""

    request_id: str
    correlation_id: str
    essay_a: str
    essay_b: str
    outcome: str
    hints: frozenset[MetadataHint]


_event = msgspec.json.Decoder(_Event).decode
_result = msgspec.json.Decoder(_Result).decode
_text = msgspec.json.Decoder(str).decode


def glance(line: bytes) -> Glance | None:
    """Return the fields of a callback's line, enveloped or bare; None for a line that is no callback."""
    try:
        data = _event(line).data
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            data = _result(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
    outcome = data.winner or (data.error_detail.error_code if data.error_detail is not None else "")
    stated = data.request_metadata
    try:
        essay_a, essay_b = (_text(stated[key]) for key in ESSAY_KEYS)
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return Glance(data.request_id, data.correlation_id, essay_a, essay_b, outcome, _hints(frozenset(stated)))


@lru_cache(maxsize=256)
def _hints(keys: frozenset[str]) -> frozenset[MetadataHint]:
    carried = {hint for hint in MetadataHint if hint in keys}
    return frozenset(carried | {MetadataHint.ITERATION} if "retry_iteration" in keys else carried)
