"""This module reads a batch from the database under its lock, and writes its state back.

The state is stored as the snapshot of the last decision and the answers since, which are the pairs' own rows: a
callback writes one row and the counters, however large its batch is. The counters name a state exactly, so a state kept
in memory is good when the counters under the lock are its own, and can be brought up to them where another replica
took answers in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.engine.decisions import guard_refuses
from cj_pipeline.engine.engine import advance
from cj_pipeline.engine.facts import (
    facts_of,
    is_small_net,
    small_net_cap_reached,
    successful_pairs,
    unique_coverage_complete,
)
from cj_pipeline.engine.intake import Delivery, MalformedCallback, NotSubmitted
from cj_pipeline.engine.scoring.rankings import BatchEssay
from cj_pipeline.engine.state import BatchStatus, State
from cj_pipeline.engine.stored import from_json, to_json
from cj_pipeline.services.cj.intake.request_record import RequestRecord
from cj_pipeline.services.cj.store.database import Transaction
from cj_pipeline.services.cj.store.tables import (
    batch_states,
    batch_uploads,
    comparison_pairs,
    processed_essays,
    state_snapshots,
)

ESSAY_A, ESSAY_B, ERROR = "essay_a", "essay_b", "error"

# The one error that is the engine's own word for a verdict that says neither; it is not retried.
MALFORMED = {"reason": "MALFORMED_CALLBACK_MISSING_ERROR_DETAIL"}

PARTIAL_SCORING_PCT = 95

# States that are kept in memory between callbacks; a deployment works on a few batches at a time.
KEPT_STATES = 64


@dataclass(frozen=True, slots=True)
class LockedBatch:
    """A batch whose state row this transaction holds. created_at: aware."""

    cj_batch_id: int
    bos_batch_id: str
    event_correlation_id: str
    created_at: datetime
    request: RequestRecord
    metadata: dict[str, Any]
    state: State


class StateCache:
    """States of open batches, as this process last saw them. What it says is checked under the batch's lock."""

    def __init__(self) -> None:
        self._states: dict[int, State] = {}

    def get(self, cj_batch_id: int) -> State | None:
        """Return what was last seen, if it is still kept."""
        return self._states.get(cj_batch_id)

    def keep(self, state: State) -> None:
        """Only after the commit: a state that was not stored never was."""
        self._states.pop(state.batch.cj_batch_id, None)
        self._states[state.batch.cj_batch_id] = state
        if len(self._states) > KEPT_STATES:
            del self._states[next(iter(self._states))]


async def lock_batch(transaction: Transaction, cj_batch_id: int, cache: StateCache) -> LockedBatch | None:
    """Return the batch, locked until the end of the transaction; None when there is none."""
    counters = await transaction.first(
        select(batch_states).where(batch_states.c.batch_id == cj_batch_id).with_for_update()
    )
    if counters is None:
        return None
    upload = await transaction.first(select(batch_uploads).where(batch_uploads.c.id == cj_batch_id))
    assert upload is not None  # noqa: S101 - a foreign key holds it
    state = await _state(
        transaction,
        cj_batch_id,
        cache.get(cj_batch_id),
        submitted=counters.submitted_comparisons,
        answered=counters.completed_comparisons + counters.failed_comparisons,
        waiting=counters.state == BatchStatus.WAITING_CALLBACKS.value,
    )
    return LockedBatch(
        cj_batch_id=cj_batch_id,
        bos_batch_id=upload.bos_batch_id,
        event_correlation_id=upload.event_correlation_id,
        created_at=upload.created_at.replace(tzinfo=UTC),
        request=RequestRecord.model_validate(upload.processing_metadata["original_request"]),
        metadata=dict(counters.processing_metadata or {}),
        state=state,
    )


async def _state(
    transaction: Transaction, cj_batch_id: int, kept: State | None, *, submitted: int, answered: int, waiting: bool
) -> State:
    if kept is not None and kept.submitted == submitted and kept.finished != waiting and kept.callbacks <= answered:
        state = kept
    else:
        row = await transaction.first(select(state_snapshots.c.state).where(state_snapshots.c.batch_id == cj_batch_id))
        assert row is not None  # noqa: S101 - written with the batch
        state = from_json(row.state)
    if state.finished or state.callbacks == answered:
        return state
    since = await transaction.all(
        select(comparison_pairs)
        .where(comparison_pairs.c.cj_batch_id == cj_batch_id, comparison_pairs.c.answer_number > state.callbacks)
        .order_by(comparison_pairs.c.answer_number)
    )
    return advance(state, [delivery_of(row) for row in since])[0]


def delivery_of(row: Any) -> Delivery:
    """Return the delivery that a pair's row is the record of, as far as the engine looks at it."""
    correlation_id = UUID(row.request_correlation_id)
    if row.winner == ERROR:
        if row.error_details == MALFORMED:
            return MalformedCallback(correlation_id=correlation_id)
        return NotSubmitted(correlation_id=correlation_id, error_code=row.error_code)
    # Not validated, and only what the engine looks at: it was, and it is built again for every answer of a wave.
    winner = Winner.A if row.winner == ESSAY_A else Winner.B
    seen: dict[str, Any] = {"correlation_id": correlation_id, "winner": winner, "error_detail": None}
    return LLMComparisonResultV1.model_construct(**seen)


def counters_of(state: State, now: datetime) -> dict[str, Any]:
    """Return the columns of `cj_batch_states` that follow from the engine's state."""
    budget = state.batch.total_budget
    return {
        "state": state.status.value,
        "total_budget": budget,
        "total_comparisons": state.submitted,
        "submitted_comparisons": state.submitted,
        "completed_comparisons": state.completed,
        "failed_comparisons": state.failed,
        "current_iteration": len(state.waves),
        "last_activity_at": now,
        "partial_scoring_triggered": state.completed * 100 >= budget * PARTIAL_SCORING_PCT,
        "completion_threshold_pct": PARTIAL_SCORING_PCT,
    }


def state_metadata(state: State) -> dict[str, Any]:
    """Return what production keeps of a state beside its counters, under production's keys."""
    last = state.decisions[-1] if state.decisions else None
    statistics = state.pool.statistics
    return {
        "bt_scores": dict(state.scores or {}),
        "last_scored_iteration": len(state.waves) if state.scores else None,
        "last_score_change": None if last is None else last.max_score_change,
        "max_possible_pairs": state.batch.max_possible_pairs,
        "successful_pairs_count": successful_pairs(state),
        "unique_coverage_complete": unique_coverage_complete(state),
        "resampling_pass_count": state.resampling_pass_count,
        "is_small_net": is_small_net(state),
        "small_net_cap_reached": small_net_cap_reached(state),
        "llm_batching_mode": state.batch.batching_mode.value,
        "failed_comparison_pool": [
            {
                "essay_a_id": entry.essay_a,
                "essay_b_id": entry.essay_b,
                "failure_reason": entry.error_code,
                "retry_count": entry.retry_count,
                "correlation_id": str(entry.correlation_id),
            }
            for entry in state.pool.entries
        ],
        "pool_statistics": {
            "total_failed": statistics.total_failed,
            "retry_attempts": statistics.retry_attempts,
            "last_retry_batch": statistics.last_retry_batch,
            "successful_retries": statistics.successful_retries,
            "permanently_failed": statistics.permanently_failed,
        },
    }


def failure_details(state: State) -> dict[str, Any]:
    """Return what the success guard saw, as published with a failure."""
    facts = facts_of(state, state.scores)
    return {
        "callbacks_received": facts.callbacks,
        "completed_comparisons": facts.completed,
        "failed_comparisons": state.failed,
        "success_rate": facts.success_rate,
        "success_rate_threshold": state.batch.settings.min_success_rate_threshold,
        "callbacks_reached_cap": facts.reached_cap,
        "budget_exhausted": facts.budget_exhausted,
        "success_rate_too_low": guard_refuses(facts),
    }


async def store_snapshot(transaction: Transaction, state: State, now: datetime) -> None:
    """Replace the snapshot; the answers in it are not replayed any more."""
    values = {"state": to_json(state), "created_at": now}
    batch_id = state.batch.cj_batch_id
    if not await transaction.insert_unless_there(state_snapshots, {"batch_id": batch_id, **values}):
        await transaction.execute(
            state_snapshots.update().where(state_snapshots.c.batch_id == batch_id).values(**values)
        )


async def essays_of(transaction: Transaction, cj_batch_id: int) -> list[BatchEssay]:
    """Return the batch's essays by id, without their texts."""
    rows = await transaction.all(
        select(
            processed_essays.c.els_essay_id,
            processed_essays.c.is_anchor,
            processed_essays.c.text_storage_id,
            processed_essays.c.processing_metadata,
        )
        .where(processed_essays.c.cj_batch_id == cj_batch_id)
        .order_by(processed_essays.c.els_essay_id)
    )
    return [
        BatchEssay(
            essay_id=row.els_essay_id,
            is_anchor=row.is_anchor,
            text_storage_id=row.text_storage_id,
            metadata=row.processing_metadata or {},
        )
        for row in rows
    ]


def error_code_of(code: str | None) -> str:
    """Return what stands in a failed row's error_code."""
    return (code or ErrorCode.INVALID_RESPONSE.value)[:100]
