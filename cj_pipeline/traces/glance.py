"""This module reads the few fields of a kept line that its draft and its trace are made of. It validates nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from cj_pipeline.contracts.engine_settings import MetadataHint


class _Error(msgspec.Struct, gc=False):
    error_code: str


class _Metadata(msgspec.Struct, gc=False):
    essay_a_id: str
    essay_b_id: str
    cj_batch_id: Any = msgspec.UNSET
    cj_source: Any = msgspec.UNSET
    cj_request_type: Any = msgspec.UNSET
    cj_llm_batching_mode: Any = msgspec.UNSET
    preferred_bundle_size: Any = msgspec.UNSET
    comparison_iteration: Any = msgspec.UNSET
    retry_iteration: Any = msgspec.UNSET


class _Result(msgspec.Struct, gc=False):
    request_id: str
    correlation_id: str
    request_metadata: _Metadata
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
    return Glance(data.request_id, data.correlation_id, stated.essay_a_id, stated.essay_b_id, outcome, _hints(stated))


def _hints(stated: _Metadata) -> frozenset[MetadataHint]:
    carried = tuple(value is not msgspec.UNSET for value in (
        stated.cj_batch_id,
        stated.cj_source,
        stated.cj_request_type,
        stated.cj_llm_batching_mode,
        stated.preferred_bundle_size,
        stated.comparison_iteration,
        stated.retry_iteration,
    ))  # fmt: skip
    return _HINTS[carried]


class _HintSets(dict[tuple[bool, ...], frozenset[MetadataHint]]):
    """By which keys are there: the same few sets, again and again."""

    def __missing__(self, carried: tuple[bool, ...]) -> frozenset[MetadataHint]:
        hints = (*MetadataHint, MetadataHint.ITERATION)
        found = self[carried] = frozenset(hint for hint, there in zip(hints, carried, strict=True) if there)
        return found


_HINTS = _HintSets()
