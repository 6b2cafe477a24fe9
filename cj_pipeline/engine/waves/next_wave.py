"""This module makes the comparisons of the next wave, of every kind.

Every wave keeps within the remaining budget; an empty one means that there is nothing of its kind to ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import UUID

from cj_pipeline.contracts.engine_settings import Pairing
from cj_pipeline.contracts.enums import LLMBatchingMode
from cj_pipeline.engine.pairing.orientation import orient
from cj_pipeline.engine.pairing.pairing import next_pairs
from cj_pipeline.engine.state import (
    Answer,
    Batch,
    Comparison,
    FailedComparison,
    Pair,
    PlannedPair,
    State,
    Wave,
    WaveKind,
)
from cj_pipeline.engine.waves.retry_pool import eligible
from cj_pipeline.foundation.seeding import keyed_uuid

Comparisons = tuple[Comparison, ...]


def first_wave(state: State) -> Comparisons:
    """Return what a batch asks first; with `provider_batch_api`, all it will ever ask."""
    if state.batch.batching_mode is LLMBatchingMode.PROVIDER_BATCH_API:
        return _single_wave(state)
    return next_wave(state, WaveKind.COVERAGE)


def next_wave(state: State, kind: WaveKind) -> Comparisons:
    """Return the next wave of a kind; none of another kind where a plan says that the next wave is a retry."""
    if kind is WaveKind.RETRY:
        return _retries(state)
    if _planned_retries(state):
        return ()
    return _comparisons(state, _oriented(state, kind), kind)


def correlation_id(batch: Batch, iteration: int, position: int) -> UUID:
    """Return id of one comparison: the same in every process, another one in every batch."""
    return keyed_uuid("comparison", batch.seed, batch.bos_batch_id, iteration, position)


def _oriented(state: State, kind: WaveKind) -> list[PlannedPair]:
    pairs = next_pairs(state, kind)
    planned = [pair for pair in pairs if isinstance(pair, PlannedPair)]
    if planned:
        return planned
    unordered = [pair for pair in pairs if not isinstance(pair, PlannedPair)]
    return [PlannedPair(a, b) for a, b in orient(state, unordered, kind)]


def _comparisons(state: State, pairs: Iterable[PlannedPair], kind: WaveKind) -> Comparisons:
    iteration = len(state.waves)
    return tuple(
        Comparison(
            correlation_id=pair.correlation_id or correlation_id(state.batch, iteration, position),
            essay_a=pair.essay_a,
            essay_b=pair.essay_b,
            kind=kind,
            iteration=iteration,
        )
        for position, pair in enumerate(pairs)
    )


def _single_wave(state: State) -> Comparisons:
    """Ask matching after matching, each as if the ones before were judged, until budget or pairs are used up.

    Who is shown as A is decided once, over all of them: matching by matching, essays that should have balanced each
    other ended at a skew of 0.6 where 0.2 can be had.
    """
    planned: list[PlannedPair] = []
    unordered: list[Pair] = []
    imagined = state
    while matching := next_pairs(imagined, WaveKind.COVERAGE):
        shown = [pair if isinstance(pair, PlannedPair) else PlannedPair(*pair) for pair in matching]
        planned += [pair for pair in matching if isinstance(pair, PlannedPair)]
        unordered += [pair for pair in matching if not isinstance(pair, PlannedPair)]
        asked = _comparisons(imagined, shown, WaveKind.COVERAGE)
        answers = {comparison.correlation_id: Answer(comparison.essay_a, None) for comparison in asked}
        imagined = replace(
            imagined,
            waves=(*imagined.waves, Wave(asked, answers)),
            submitted=imagined.submitted + len(asked),
            completed=imagined.completed + len(asked),
        )
    oriented = [PlannedPair(a, b) for a, b in orient(state, unordered, WaveKind.COVERAGE)] if unordered else []
    return _comparisons(state, [*planned, *oriented], WaveKind.COVERAGE)


def _retries(state: State) -> Comparisons:
    if state.batch.settings.pairing is Pairing.RECORDED:
        return _repeat(state, _planned_retries(state))
    room = min(state.batch.settings.retry_batch_size, state.remaining)
    return _repeat(state, [(entry, None) for entry in eligible(state)[: max(0, room)]])


def _repeat(state: State, entries: Sequence[tuple[FailedComparison, UUID | None]]) -> Comparisons:
    """Return the same comparisons again, in the same orientation: the failed showing was not judged."""
    iteration = len(state.waves)
    return tuple(
        Comparison(
            correlation_id=recorded or correlation_id(state.batch, iteration, position),
            essay_a=entry.essay_a,
            essay_b=entry.essay_b,
            kind=entry.kind,
            iteration=iteration,
            retry_count=entry.retry_count + 1,
            retry_of=entry.correlation_id,
        )
        for position, (entry, recorded) in enumerate(entries)
    )


def _planned_retries(state: State) -> list[tuple[FailedComparison, UUID | None]]:
    """Return the entries that the plan's next wave asks again, with the recorded ids; empty when that wave is no retry.

    The trace's label alone is not enough: production calls every later wave a retry. It is one when each of its
    comparisons is in the pool, shown the same way.
    """
    plan, index = state.batch.plan, len(state.waves)
    if index >= len(plan) or not all(pair.retry for pair in plan[index]):
        return []
    waiting = eligible(state)
    found: list[tuple[FailedComparison, UUID | None]] = []
    for pair in plan[index]:
        entry = next((e for e in waiting if (e.essay_a, e.essay_b) == (pair.essay_a, pair.essay_b)), None)
        if entry is None:
            return []
        waiting.remove(entry)
        found.append((entry, pair.correlation_id))
    return found[: max(0, state.remaining)]
