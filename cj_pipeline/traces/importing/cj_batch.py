"""This module makes a source of callbacks, essays and grades of one batch of a CJ database.

A row of `cj_comparison_pairs` is what the CJ service kept of a callback. What it did not keep (the request's id, the
queue's mode, the hints) is left out or, where the wire demands a value, made from the row's own correlation id.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from cj_pipeline.contracts.callback import Rejection
from cj_pipeline.contracts.enums import CJRequestType, OutputVerbosity, Provider, ReasoningEffort, Winner
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.traces.importing.cj_origins import Held, checks_off, fields, statement
from cj_pipeline.traces.importing.cj_tables import PAIRS, BatchRows
from cj_pipeline.traces.importing.cj_waves import Asked, AskedWaves, waves_of
from cj_pipeline.traces.importing.envelope import envelope, timestamp
from cj_pipeline.traces.importing.grade_scales import NotOnTheScale, net_scale
from cj_pipeline.traces.importing.source import NO_CONFIDENCE, NO_ERROR_CODE, NO_MODEL, Found, Known, ReadSource, Source
from cj_pipeline.traces.scenario import Item

ERROR = "error"
WINNERS = {"essay_a": Winner.A, "essay_b": Winner.B}

# The largest hint that the LPS heeds.
_LARGEST_HINT = 64

_NO_TOKENS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

Row = Mapping[str, Any]
Word = TypeVar("Word", bound=StrEnum)


def batch_source(rows: BatchRows, place: str) -> Source:
    """Return a batch's callbacks in the order in which they were taken in. Raises BadInput where none was answered."""
    answered = [row for row in rows.pairs if row["winner"] is not None]
    if not answered:
        raise BadInput(
            f"batch {rows.upload['id']} has no answered comparison.",
            path=place,
            field=f"{PAIRS.name}.winner",
            remedy="Import it once callbacks have come.",
        )
    stated = _Columns(rows)
    waves = waves_of(rows.pairs, rows.columns, rows.snapshot, _text(stated.state.get("llm_batching_mode")))
    held = _held(answered, rows)
    items = items_of(rows)
    known = _known(rows, stated, waves, held, items, place)
    return ReadSource("CJ database", _found(rows, answered, waves, stated), known)


class _Columns:
    """The batch's own JSON columns, and what they say of its judge."""

    def __init__(self, rows: BatchRows) -> None:
        self.state = _mapping(rows.state["processing_metadata"])
        upload = _mapping(rows.upload["processing_metadata"])
        self.request = _mapping(self.state.get("original_request")) or _mapping(upload.get("original_request"))
        self.overrides = _mapping(self.state.get("llm_overrides")) or _mapping(self.request.get("llm_config_overrides"))
        named = Counter(
            stated["provider"] for row in rows.pairs if (stated := _mapping(row["processing_metadata"])).get("provider")
        )
        common = min(named, key=lambda name: (-named[name], str(name))) if named else None
        self.provider = _provider(self.overrides.get("provider_override")) or _provider(common)


def _found(rows: BatchRows, answered: Sequence[Row], waves: AskedWaves, stated: _Columns) -> Iterator[Found]:
    sizes = Counter(asked.wave for asked in waves.asked.values())
    for row in sorted(answered, key=_taken_in):
        where = f"{PAIRS.name} id {row['id']}"
        asked = waves.asked.get(str(row["request_correlation_id"]), Asked(0))
        data = _data(row, rows, stated, _metadata(row, rows, stated, waves, asked, sizes[asked.wave]))
        if isinstance(data, Rejection):
            yield Found(b"", where, where, data)
        else:
            yield Found(envelope(data), where, where)


def _taken_in(row: Row) -> tuple[int, datetime, int]:
    """Return the order in which the engine took the answers in, as far as it is on record."""
    return row.get("answer_number") or 0, _utc(row["completed_at"]) or datetime.max.replace(tzinfo=UTC), row["id"]


def _data(row: Row, rows: BatchRows, stated: _Columns, metadata: dict[str, Any]) -> dict[str, Any] | Rejection:
    answer = _mapping(row["processing_metadata"])
    provider = _provider(answer.get("provider")) or stated.provider
    if provider is None:
        return Rejection(field="processing_metadata.provider", reason="neither the row nor its batch names a provider")
    winner = WINNERS.get(row["winner"])
    if winner is None and row["winner"] != ERROR:
        return Rejection(field="winner", reason="none of essay_a, essay_b and error")
    completed = _utc(row["completed_at"]) or _utc(row["error_timestamp"]) or _utc(rows.upload["created_at"])
    if completed is None:
        return Rejection(field="completed_at", reason="no time is on record for this answer")
    requested = _utc(row["submitted_at"]) or _utc(row.get("created_at")) or completed
    correlation_id = str(row["request_correlation_id"])
    failed = winner is None
    return {
        "request_id": str(keyed_uuid("import", "cj", "request", correlation_id)),
        "correlation_id": correlation_id,
        "winner": None if winner is None else winner.value,
        "justification": None if failed else row["justification"] or "",
        "confidence": None if failed else NO_CONFIDENCE if row["confidence"] is None else row["confidence"],
        "error_detail": _error(row, correlation_id, completed) if failed else None,
        "provider": provider.value,
        "model": _text(answer.get("model")) or NO_MODEL,
        "response_time_ms": answer.get("response_time_ms") or 0,
        "token_usage": {**_NO_TOKENS, **_mapping(answer.get("token_usage"))},
        "cost_estimate": answer.get("cost_estimate") or 0.0,
        "requested_at": timestamp(requested),
        "completed_at": timestamp(completed),
        "trace_id": None,
        "request_metadata": metadata,
    }


def _metadata(
    row: Row, rows: BatchRows, stated: _Columns, waves: AskedWaves, asked: Asked, wave_size: int
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "essay_a_id": row["essay_a_els_id"],
        "essay_b_id": row["essay_b_els_id"],
        "bos_batch_id": rows.upload["bos_batch_id"],
        "cj_batch_id": str(rows.upload["id"]),
        "cj_source": _text(stated.request.get("cj_source")) or "els",
        "cj_request_type": (CJRequestType.RETRY if asked.retry else CJRequestType.COMPARISON).value,
        "reasoning_effort": stated.overrides.get("reasoning_effort"),
        "output_verbosity": stated.overrides.get("output_verbosity"),
    }
    if waves.engine is not None and waves.engine.enable_llm_batching_metadata_hints:
        metadata["cj_llm_batching_mode"] = waves.engine.llm_batching_mode.value
        metadata["preferred_bundle_size"] = min(wave_size, _LARGEST_HINT)
    metadata["retry_iteration" if asked.retry else "comparison_iteration"] = asked.wave
    return {name: value for name, value in metadata.items() if value is not None}


def _error(row: Row, correlation_id: str, completed: datetime) -> dict[str, Any]:
    details = _mapping(row["error_details"])
    return {
        "error_code": row["error_code"] or NO_ERROR_CODE,
        "message": "not recorded",
        "correlation_id": str(row["error_correlation_id"] or correlation_id),
        "timestamp": timestamp(_utc(row["error_timestamp"]) or completed),
        "service": row["error_service"] or LPS_SOURCE_SERVICE,
        "operation": _text(details.get("operation")) or "process_comparison",
        "details": details,
    }


def items_of(rows: BatchRows) -> tuple[Item, ...]:
    """Return the essays that were compared, and those that are in the batch without it, by id; anchors with grades."""
    stored = {row["els_essay_id"]: row for row in rows.essays}
    named = {essay for row in rows.pairs for essay in (row["essay_a_els_id"], row["essay_b_els_id"])}
    references = {row["id"]: row for row in rows.anchors}
    texts = {row["text_storage_id"]: row for row in rows.anchors}
    items = []
    for essay in sorted(named | stored.keys()):
        row = stored.get(essay)
        if row is None or not row["is_anchor"]:
            items.append(Item(id=essay, label=essay))
            continue
        stated = _mapping(row["processing_metadata"])
        reference = texts.get(row["text_storage_id"]) or references.get(stated.get("anchor_ref_id")) or {}
        grade = _text(stated.get("anchor_grade")) or _text(stated.get("known_grade")) or reference.get("grade")
        label = _text(stated.get("anchor_label")) or reference.get("anchor_label")
        items.append(Item(id=essay, label=label or essay, grade=grade))
    return tuple(items)


def _known(
    rows: BatchRows, stated: _Columns, waves: AskedWaves, held: Held, items: tuple[Item, ...], place: str
) -> Known:
    upload = rows.upload
    scale = _text(stated.request.get("grade_scale")) or next((row["grade_scale"] for row in rows.instructions), None)
    try:
        grades = net_scale(scale, (item.grade for item in items if item.grade is not None))
    except NotOnTheScale as error:
        raise BadInput(str(error), path=place, field="anchor_essay_references.grade") from None
    unanswered = len(rows.pairs) - held.answered
    stored = {row["els_essay_id"]: row["current_bt_score"] for row in rows.essays}
    scores = {essay: score for essay, score in stored.items() if score is not None}
    temperature = stated.overrides.get("temperature_override")
    return Known(
        statement=statement(held),
        sources=(f"tables of a CJ database: batch {upload['id']}, {len(rows.pairs)} comparisons, {_status(rows)}",),
        fields=fields(held, waves),
        items=items,
        grade_scale=grades,
        started_at=_utc(upload["created_at"]),
        temperature=temperature if isinstance(temperature, int | float) and 0 <= temperature <= 2 else None,
        reasoning_effort=_member(ReasoningEffort, stated.overrides.get("reasoning_effort")),
        output_verbosity=_member(OutputVerbosity, stated.overrides.get("output_verbosity")),
        engine=waves.engine,
        checks_off=checks_off(held),
        missing=_missing(_status(rows), unanswered),
        end_is_known=True,
        unanswered=unanswered,
        bt_scores=scores,
        remarks=_remarks(held),
    )


def _status(rows: BatchRows) -> str:
    """Return the batch's status, where it is made like one; a column may hold anything."""
    status = str(rows.upload["status"])
    return status if re.fullmatch(r"[A-Z_]{1,40}", status) else "of another kind"


def _missing(status: str, unanswered: int) -> tuple[str, ...]:
    missing = []
    if unanswered:
        missing.append(f"{unanswered} comparisons had no answer when the batch was read.")
    if not status.startswith(("COMPLETE", "ERROR")):
        missing.append(f"The batch was not over when it was read (status {status}).")
    return tuple(missing)


def _remarks(held: Held) -> tuple[str, ...]:
    if not held.never_sent:
        return ()
    return (f"{held.never_sent} comparisons were never sent; no callback came for them. They stand as failed ones.",)


def _held(answered: Sequence[Row], rows: BatchRows) -> Held:
    judged = [row for row in answered if row["winner"] != ERROR]
    failed = [row for row in answered if row["winner"] == ERROR]
    stated = [_mapping(row["processing_metadata"]) for row in judged]
    return Held(
        answered=len(answered),
        judged=len(judged),
        latency=sum(type(one.get("response_time_ms")) is int for one in stated),
        tokens=sum(bool(_mapping(one.get("token_usage"))) for one in stated),
        model=sum(_text(one.get("model")) is not None for one in stated),
        confidence=sum(row["confidence"] is not None for row in judged),
        codes=sum(row["error_code"] is not None for row in failed),
        failed=len(failed),
        never_sent=sum(row["submitted_at"] is None for row in failed),
        order="answer_number" if "answer_number" in rows.columns else "completed_at",
    )


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _provider(value: object) -> Provider | None:
    return _member(Provider, value.lower()) if isinstance(value, str) else None


def _member(kind: type[Word], value: object) -> Word | None:
    return kind(value) if isinstance(value, str) and value in list(kind) else None


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
