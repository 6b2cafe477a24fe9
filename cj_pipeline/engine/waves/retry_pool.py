"""This module keeps the comparisons that failed, and chooses those that a retry wave asks again.

Production has such a pool and never fills it, so one error blocks its pair for good. Filled, it would offer entries
that are in flight, and enter a second failure as a new one, which voids the limit of attempts. Here an entry is one
comparison from its first asking to its success or its last attempt.
The pool moves when a wave is all in, in the order of submission: which callback came first changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.engine.effects import PoolChange
from cj_pipeline.engine.state import Answer, Comparison, FailedComparison, RetryPool, State


def pool_change(comparison: Comparison, answer: Answer, settings: EngineSettings) -> PoolChange | None:
    """Return what an answer means for the pool; None for a first success, and for everything where retries are off."""
    if not settings.enable_failed_comparison_retry:
        return None
    retried = comparison.retry_of is not None
    if answer.winner is not None:
        return PoolChange.RETRIED_WITH_SUCCESS if retried else None
    if answer.malformed or comparison.retry_count >= settings.max_retry_attempts:
        return PoolChange.PERMANENTLY_FAILED
    return PoolChange.FAILED_AGAIN if retried else PoolChange.ENTERED


def eligible(state: State) -> list[FailedComparison]:
    """Return entries that may be asked again, oldest first."""
    limit = state.batch.settings.max_retry_attempts
    return [entry for entry in state.pool.entries if entry.retry_count < limit and not entry.in_flight]


def settled(state: State) -> RetryPool:
    """Return the pool once the last wave is all in."""
    wave = state.waves[-1]
    entries = {entry.correlation_id: entry for entry in state.pool.entries}
    statistics = state.pool.statistics
    for comparison in wave.comparisons:
        answer = wave.answers[comparison.correlation_id]
        change = pool_change(comparison, answer, state.batch.settings)
        if change is None:
            continue
        key = comparison.retry_of or comparison.correlation_id
        first_failure = comparison.retry_of is None
        statistics = replace(
            statistics,
            total_failed=statistics.total_failed + first_failure,
            successful_retries=statistics.successful_retries + (change is PoolChange.RETRIED_WITH_SUCCESS),
            permanently_failed=statistics.permanently_failed + (change is PoolChange.PERMANENTLY_FAILED),
        )
        if change is PoolChange.ENTERED:
            entries[key] = _entry(comparison, answer)
        elif change is PoolChange.FAILED_AGAIN:
            entries[key] = replace(entries[key], error_code=answer.error_code, in_flight=False)
        else:
            entries.pop(key, None)
    return RetryPool(entries=tuple(entries.values()), statistics=statistics)


def in_flight(pool: RetryPool, retried: Collection[UUID], iteration: int) -> RetryPool:
    """Return the pool while some entries are asked again. retried: correlation ids; iteration: of the wave."""
    return RetryPool(
        entries=tuple(
            replace(entry, retry_count=entry.retry_count + 1, in_flight=True)
            if entry.correlation_id in retried
            else entry
            for entry in pool.entries
        ),
        statistics=replace(
            pool.statistics,
            retry_attempts=pool.statistics.retry_attempts + len(retried),
            last_retry_batch=iteration,
        ),
    )


def _entry(comparison: Comparison, answer: Answer) -> FailedComparison:
    return FailedComparison(
        correlation_id=comparison.correlation_id,
        essay_a=comparison.essay_a,
        essay_b=comparison.essay_b,
        kind=comparison.kind,
        error_code=answer.error_code,
    )
