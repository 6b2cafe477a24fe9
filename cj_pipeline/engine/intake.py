"""This module takes one delivery in: which comparison it answers, whether it counts, and what it says.

Counters move once per comparison: a delivery that repeats, comes after the end or belongs to no comparison is counted
under its own name and changes nothing else, so completion can never pass 100 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.engine.effects import CallbackKind, Taken
from cj_pipeline.engine.state import Answer, Comparison, State
from cj_pipeline.engine.waves.retry_pool import pool_change


@dataclass(frozen=True, slots=True)
class MalformedCallback:
    """A callback that names its comparison and is unusable otherwise, as who parses messages finds it."""

    correlation_id: UUID


@dataclass(frozen=True, slots=True)
class NotSubmitted:
    """A comparison that the judge's service did not accept, so that no callback will ever come.

    Production leaves its row open and the batch hangs until a timeout of four hours; here it failed, and is retried.
    """

    correlation_id: UUID
    error_code: str


Delivery = LLMComparisonResultV1 | MalformedCallback | NotSubmitted


def take(state: State, delivery: Delivery) -> tuple[State, Taken]:
    """Return the state with one delivery in it, and what the delivery was. Never raises for what a delivery says."""
    correlation_id = delivery.correlation_id
    comparison = state.asked.get(correlation_id)
    if comparison is None:
        orphan = Taken(CallbackKind.ORPHAN, correlation_id)
        return replace(state, orphan_callbacks=state.orphan_callbacks + 1), orphan
    # Before the check for repeats: a batch ends with every answer in, so afterwards each callback would be a repeat.
    if state.finished:
        late = Taken(CallbackKind.LATE, correlation_id, comparison)
        return replace(state, late_callbacks=state.late_callbacks + 1), late
    if is_repeat(state, comparison):
        duplicate = Taken(CallbackKind.DUPLICATE, correlation_id, comparison)
        return replace(state, duplicate_callbacks=state.duplicate_callbacks + 1), duplicate
    return _count(state, comparison, _answer(comparison, delivery))


def is_repeat(state: State, comparison: Comparison) -> bool:
    """Return whether a comparison is answered already, with whatever verdict."""
    return comparison.correlation_id in state.waves[comparison.iteration].answers


def _count(state: State, comparison: Comparison, answer: Answer) -> tuple[State, Taken]:
    index = comparison.iteration
    wave = state.waves[index]
    wave = replace(wave, answers={**wave.answers, comparison.correlation_id: answer})
    counted = replace(
        state,
        # Pointers to waves, of which there are few: 100 after 250,000 comparisons of 5,000 essays.
        waves=(*state.waves[:index], wave, *state.waves[index + 1 :]),
        completed=state.completed + (answer.winner is not None),
        failed=state.failed + (answer.winner is None),
        malformed_callbacks=state.malformed_callbacks + answer.malformed,
    )
    kind = CallbackKind.ERROR
    if answer.malformed:
        kind = CallbackKind.MALFORMED
    elif answer.winner is not None:
        kind = CallbackKind.SUCCESS
    pool = pool_change(comparison, answer, state.batch.settings)
    return counted, Taken(kind, comparison.correlation_id, comparison, answer.error_code, pool)


def _answer(comparison: Comparison, delivery: Delivery) -> Answer:
    if isinstance(delivery, NotSubmitted):
        return Answer(winner=None, error_code=delivery.error_code)
    # The contract refuses a verdict with neither or both; a service may still hand on what it could not validate.
    if isinstance(delivery, MalformedCallback) or (delivery.winner is None) == (delivery.error_detail is None):
        return Answer(winner=None, error_code=ErrorCode.INVALID_RESPONSE.value, malformed=True)
    if delivery.error_detail is not None:
        return Answer(winner=None, error_code=delivery.error_detail.error_code)
    # The essays are the engine's own record of what it asked, not the echo: an echo can be wrong.
    return Answer(winner=comparison.essay_a if delivery.winner is Winner.A else comparison.essay_b, error_code=None)
