"""This module reads the artefact of an ENG5 run (`assessment_run.<mode>.json`) as a source of callbacks.

An artefact is a report, not a log: it holds who won, what it cost and when, and nothing of how long the provider took
or what was sent along. Whatever is missing is said field by field, and the checks that would look at it are off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from cj_pipeline.contracts.callback import Rejection
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.seeding import KeyPart, keyed_uuid
from cj_pipeline.traces.importing.artefact_essays import graded_items, stored_scores
from cj_pipeline.traces.importing.artefact_file import Artefact, ArtefactComparison, read_artefact
from cj_pipeline.traces.importing.artefact_origins import BATCH_UNKNOWN, checks_off, fields, held_by
from cj_pipeline.traces.importing.envelope import envelope, timestamp
from cj_pipeline.traces.importing.grade_scales import NotOnTheScale, net_scale
from cj_pipeline.traces.importing.source import (
    NO_CONFIDENCE,
    NO_ERROR_CODE,
    Found,
    Known,
    ReadSource,
    Source,
)


def eng5_artefact(path: Path) -> Source:
    """Return the comparisons of one artefact.

    Raises BadInput: no such file, not JSON, not an artefact, without a comparison (a plan or a dry run).
    """
    artefact, digest, checksum = read_artefact(path)
    answered = [comparison for comparison in artefact.llm_comparisons if not comparison.waiting]
    if not answered:
        raise BadInput(
            f"holds no answered comparison (runner_mode {artefact.metadata.mode}).",
            path=path,
            field="llm_comparisons",
            remedy="Import the artefact of a run in mode execute that collected its events.",
        )
    held = held_by(answered)
    items = graded_items(artefact)
    try:
        scale = net_scale(artefact.metadata.grade_scale, (item.grade for item in items if item.grade is not None))
    except NotOnTheScale as error:
        raise BadInput(str(error), path=path, field="metadata.grade_scale") from None
    unanswered = len(artefact.llm_comparisons) - len(answered)
    known = Known(
        statement=(
            "Imported from the artefact of an ENG5 run, which is a report of the run and not a log of its callbacks. "
            "Winners, tokens, costs and times are the artefact's own; a field marked 'absent' is not in it and was "
            "filled because the wire demands a value. The checks that would look at such fields are off."
        ),
        sources=(
            f"ENG5 artefact, schema {artefact.schema_version}, runner_mode {artefact.metadata.mode}, "
            f"sha256 {digest}; its own checksum {checksum}",
        ),
        fields=fields(held),
        items=items,
        grade_scale=scale,
        started_at=min((c.started for c in answered), default=None),
        temperature=artefact.metadata.temperature,
        reasoning_effort=artefact.metadata.reasoning_effort,
        output_verbosity=artefact.metadata.output_verbosity,
        checks_off=checks_off(held),
        missing=_missing(artefact, unanswered),
        end_is_known=_counted_by_its_runner(artefact),
        unanswered=unanswered,
        bt_scores=stored_scores(artefact, items),
        remarks=() if checksum == "agrees" else (f"The artefact's own checksum {checksum}.",),
    )
    return ReadSource("ENG5 artefact", _found(artefact, digest, path), known)


def _found(artefact: Artefact, digest: str, path: Path) -> Iterator[Found]:
    shared = _shared_ids(artefact)
    batch = artefact.metadata.batch_uuid or BATCH_UNKNOWN
    placed = [(c, index) for index, c in enumerate(artefact.llm_comparisons) if not c.waiting]
    for comparison, index in sorted(placed, key=lambda entry: (entry[0].completed, entry[0].sequence, entry[1])):
        numbered = f"llm_comparisons[{index}]"
        where = f"{path.name}: {numbered}"
        # The file's digest and not the batch's name: a name could be guessed from a UUID that is made of it.
        key = ("import", "artefact", digest, comparison.sequence, index)
        data = _data(comparison, key, comparison.correlation_id in shared, batch, artefact)
        if isinstance(data, Rejection):
            yield Found(comparison.model_dump_json().encode(), where, numbered, data)
        else:
            yield Found(envelope(data), where, numbered)


def _data(
    comparison: ArtefactComparison, key: tuple[KeyPart, ...], id_is_shared: bool, batch: str, artefact: Artefact
) -> dict[str, Any] | Rejection:
    sides = _sides(comparison)
    if isinstance(sides, Rejection):
        return sides
    essay_a, essay_b = sides
    correlation_id = _uuid(comparison.correlation_id)
    if correlation_id is None or id_is_shared:
        correlation_id = keyed_uuid(*key, "correlation")
    request_id = comparison.request_id or str(keyed_uuid(*key, "request"))
    failed = comparison.failed
    prompt, completion = comparison.tokens_prompt or 0, comparison.tokens_completion or 0
    winner = Winner.A if comparison.winner_id == essay_a else Winner.B
    return {
        "request_id": request_id,
        "correlation_id": str(correlation_id),
        "winner": None if failed else winner.value,
        "justification": None if failed else comparison.justification or "",
        "confidence": None if failed else _or(comparison.confidence, NO_CONFIDENCE),
        "error_detail": _error(comparison, str(correlation_id)) if failed else None,
        "provider": comparison.provider.lower(),
        "model": comparison.model,
        "response_time_ms": 0,
        "token_usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
        "cost_estimate": _or(comparison.cost_usd, 0.0),
        "requested_at": timestamp(comparison.started),
        "completed_at": timestamp(comparison.completed),
        "trace_id": None,
        "request_metadata": _metadata(comparison, essay_a, essay_b, batch, artefact),
    }


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _sides(comparison: ArtefactComparison) -> tuple[str, str] | Rejection:
    """Return the essays shown as A and as B; in the order of their ids where the artefact does not say."""
    outcome = [essay for essay in (comparison.winner_id, comparison.loser_id) if essay]
    if comparison.essay_a_id and comparison.essay_b_id:
        shown = (comparison.essay_a_id, comparison.essay_b_id)
        if not comparison.failed and sorted(outcome) != sorted(shown):
            return Rejection(field="winner_id", reason="winner and loser are not the essays shown as A and B")
        return shown
    if len(outcome) != 2:
        return Rejection(field="essay_a_id", reason="the record does not say which two essays were compared")
    return min(outcome), max(outcome)


def _metadata(
    comparison: ArtefactComparison, essay_a: str, essay_b: str, batch: str, artefact: Artefact
) -> dict[str, Any]:
    stated = artefact.metadata
    metadata = {
        "essay_a_id": essay_a,
        "essay_b_id": essay_b,
        "bos_batch_id": batch,
        "reasoning_effort": stated.reasoning_effort,
        "output_verbosity": stated.output_verbosity,
        "prompt_sha256": comparison.prompt_hash,
    }
    return {name: value for name, value in metadata.items() if value is not None}


def _error(comparison: ArtefactComparison, correlation_id: str) -> dict[str, Any]:
    return {
        "error_code": comparison.error_code or NO_ERROR_CODE,
        "message": comparison.failure_reason or "not recorded",
        "correlation_id": correlation_id,
        "timestamp": timestamp(comparison.completed),
        "service": LPS_SOURCE_SERVICE,
        "operation": "process_comparison",
        "details": {},
    }


def _shared_ids(artefact: Artefact) -> set[str | None]:
    """Return ids that several comparisons carry: the batch's own, say. A replay would take them for repeats."""
    carried = Counter(comparison.correlation_id for comparison in artefact.llm_comparisons)
    return {correlation_id for correlation_id, number in carried.items() if number > 1}


def _uuid(text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None


def _missing(artefact: Artefact, unanswered: int) -> tuple[str, ...]:
    missing = []
    if unanswered:
        missing.append(f"{unanswered} comparisons were submitted and have no outcome in the artefact.")
    status = artefact.validation.runner_status
    if status is not None and status.partial_data:
        missing.append("The artefact says that its data are partial: its runner timed out while collecting.")
    observed = None if status is None else status.observed_events.llm_comparisons
    if observed is not None and observed > len(artefact.llm_comparisons):
        missing.append(f"The runner saw {observed} comparisons; the artefact has {len(artefact.llm_comparisons)}.")
    return tuple(missing)


def _counted_by_its_runner(artefact: Artefact) -> bool:
    status = artefact.validation.runner_status
    return status is not None and status.observed_events.llm_comparisons is not None
