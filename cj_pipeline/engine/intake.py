"""This module takes one delivery in: which comparison it answers, whether it counts, and what it says.

Counters move once per comparison: a delivery that repeats, comes after the end or belongs to no comparison is counted
under its own name and changes nothing else, so completion can never pass 100 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.engine.effects import CallbackKind, Taken
from cj_pipeline.engine.state import Answer, Comparison, State, Wave
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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the engine reads of a callback, where the rest of it is not kept. error_code: None for a winner."""

    correlation_id: UUID
    winner: Winner | None
    error_code: str | None


Delivery = LLMComparisonResultV1 | Verdict | MalformedCallback | NotSubmitted


def last_answers(state: State) -> dict[UUID, Answer]:
    """Return a copy of the last wave's answers, for `take` to add to."""
    return dict(state.waves[-1].answers) if state.waves else {}


def with_answers(state: State, answers: dict[UUID, Answer]) -> State:
    """Return the state with these answers in its last wave."""
    if not state.waves or len(answers) == len(state.waves[-1].answers):
        return state
    return replace(state, waves=(*state.waves[:-1], Wave(state.waves[-1].comparisons, answers)))


def take(state: State, delivery: Delivery, answers: dict[UUID, Answer]) -> tuple[State, Taken]:
    """Return the state with one delivery counted, and what the delivery was. Never raises for what a delivery says.

    answers: of the last wave, the only one that may be open; an answer that counts is added to them.
    """
    correlation_id = delivery.correlation_id
    comparison = state.asked.get(correlation_id)
    if comparison is None:
        orphan = Taken(CallbackKind.ORPHAN, correlation_id)
        return replace(state, orphan_callbacks=state.orphan_callbacks + 1), orphan
    # Before the check for repeats: a batch ends with every answer in, so afterwards each callback would be a repeat.
    if state.finished:
        late = Taken(CallbackKind.LATE, correlation_id, comparison)
        return replace(state, late_callbacks=state.late_callbacks + 1), late
    if is_repeat(state, comparison, answers):
        duplicate = Taken(CallbackKind.DUPLICATE, correlation_id, comparison)
        return replace(state, duplicate_callbacks=state.duplicate_callbacks + 1), duplicate
    answer = answers[correlation_id] = _answer(comparison, delivery)
    return _count(state, comparison, answer)


def is_repeat(state: State, comparison: Comparison, answers: Mapping[UUID, Answer]) -> bool:
    """Return whether a comparison is answered already, with whatever verdict; of earlier waves each one is."""
    return comparison.iteration < len(state.waves) - 1 or comparison.correlation_id in answers


def _count(state: State, comparison: Comparison, answer: Answer) -> tuple[State, Taken]:
    counted = replace(
        state,
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
    if isinstance(delivery, LLMComparisonResultV1):
        error = delivery.error_detail
        code = None if error is None else error.error_code
        delivery = Verdict(delivery.correlation_id, delivery.winner, code)
    # The contract refuses a verdict with neither or both; a service may still hand on what it could not validate.
    if isinstance(delivery, MalformedCallback) or (delivery.winner is None) == (delivery.error_code is None):
        return Answer(winner=None, error_code=ErrorCode.INVALID_RESPONSE.value, malformed=True)
    if delivery.error_code is not None:
        return Answer(winner=None, error_code=delivery.error_code)
    # The essays are the engine's own record of what it asked, not the echo: an echo can be wrong.
    return Answer(winner=comparison.essay_a if delivery.winner is Winner.A else comparison.essay_b, error_code=None)
