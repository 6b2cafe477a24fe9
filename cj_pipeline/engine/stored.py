"""This module writes a state as JSON and reads it back, for the service's transactions.

A restored state continues exactly as the stored one would have: scores travel as the shortest decimals that read back
to the same double, answers in their order of arrival. What follows from the rest (the index of comparisons, the
counters) is not stored but counted again, so that a file cannot contradict itself.
"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError

from cj_pipeline.contracts.model import FileModel
from cj_pipeline.engine.invariants import BrokenInvariant, check
from cj_pipeline.engine.state import (
    Answer,
    Batch,
    BatchStatus,
    Comparison,
    Decision,
    RetryPool,
    State,
    UnusableBudget,
    UploadStatus,
    Wave,
)
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.stored_formats import ENGINE_STATE


class UnreadableState(CjPipelineError):
    """Stored text that is no state of this engine."""


class _Mark(BaseModel):
    version: int = 1


class _StoredWave(FileModel):
    comparisons: tuple[Comparison, ...]
    answers: tuple[tuple[UUID, Answer], ...]


class _StoredState(FileModel):
    version: Literal[1] = 1
    batch: Batch
    waves: tuple[_StoredWave, ...]
    resampling_pass_count: int
    pool: RetryPool
    scores: dict[str, float] | None
    status: BatchStatus
    upload_status: UploadStatus
    decisions: tuple[Decision, ...]
    duplicate_callbacks: int
    late_callbacks: int
    orphan_callbacks: int
    abandoned: int


_STORED = TypeAdapter(_StoredState)


def to_json(state: State) -> str:
    """Return a state as JSON text, without any line break."""
    return _StoredState(
        batch=state.batch,
        waves=tuple(_StoredWave(comparisons=w.comparisons, answers=tuple(w.answers.items())) for w in state.waves),
        resampling_pass_count=state.resampling_pass_count,
        pool=state.pool,
        scores=None if state.scores is None else dict(state.scores),
        status=state.status,
        upload_status=state.upload_status,
        decisions=state.decisions,
        duplicate_callbacks=state.duplicate_callbacks,
        late_callbacks=state.late_callbacks,
        orphan_callbacks=state.orphan_callbacks,
        abandoned=state.abandoned,
    ).model_dump_json()


def from_json(text: str | bytes) -> State:
    """Return the state that was stored. Raises UnreadableState, naming the place, where the text holds none."""
    try:
        ENGINE_STATE.known(_Mark.model_validate_json(text).version, "stored state")
        stored = _STORED.validate_json(text)
    except ValidationError as error:
        # Without the input: a state names essays, and a log is no place for them.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableState(f"stored state: {where}: {first['msg']}. Restore it from an older copy.") from None
    except BadInput as version:  # too new, or none at all
        raise UnreadableState(str(version)) from None
    except UnusableBudget as error:
        raise UnreadableState(f"stored state: batch: {error}") from None
    state = _state(stored)
    try:
        check(state)
    except BrokenInvariant as error:
        raise UnreadableState(f"stored state: {error} Restore it from an older copy.") from None
    return state


def _state(stored: _StoredState) -> State:
    waves = tuple(Wave(wave.comparisons, dict(wave.answers)) for wave in stored.waves)
    answers = [answer for wave in waves for answer in wave.answers.values()]
    asked = {comparison.correlation_id: comparison for wave in waves for comparison in wave.comparisons}
    failed = sum(answer.winner is None for answer in answers)
    return State(
        batch=stored.batch,
        waves=waves,
        asked=asked,
        submitted=sum(len(wave.comparisons) for wave in waves),
        completed=len(answers) - failed,
        failed=failed,
        resampling_pass_count=stored.resampling_pass_count,
        pool=stored.pool,
        scores=stored.scores,
        status=stored.status,
        upload_status=stored.upload_status,
        decisions=stored.decisions,
        duplicate_callbacks=stored.duplicate_callbacks,
        late_callbacks=stored.late_callbacks,
        orphan_callbacks=stored.orphan_callbacks,
        malformed_callbacks=sum(answer.malformed for answer in answers),
        abandoned=stored.abandoned,
    )
