"""Batches planned without the engine: wave after wave of pairs, answered at once, no scores unless they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

from cj_pipeline.engine.pairing.orientation import orient
from cj_pipeline.engine.pairing.pairing import next_pairs
from cj_pipeline.engine.state import Answer, Batch, Comparison, PlannedPair, State, Wave, WaveKind
from cj_pipeline.foundation.seeding import keyed_generator, keyed_uuid

Pair = tuple[str, str]
Fails = Callable[[int], bool]
"""Whether the comparison with this number, counted from 0 through the whole batch, comes back as an error."""


def never(number: int) -> bool:
    return False


def asked(state: State, pairs: Sequence[Pair], kind: WaveKind, fails: Fails = never) -> State:
    """The state with one more wave, in the orientation given, all answers in."""
    comparisons = tuple(
        Comparison(keyed_uuid("planned", state.submitted + place), first, second, kind, len(state.waves))
        for place, (first, second) in enumerate(pairs)
    )
    answers = {
        comparison.correlation_id: Answer(None, "TIMEOUT") if fails(state.submitted + place) else Answer(first, None)
        for place, (comparison, (first, _)) in enumerate(zip(comparisons, pairs, strict=True))
    }
    failed = sum(answer.winner is None for answer in answers.values())
    return replace(
        state,
        waves=(*state.waves, Wave(comparisons, answers)),
        submitted=state.submitted + len(comparisons),
        completed=state.completed + len(comparisons) - failed,
        failed=state.failed + failed,
    )


def pairs_of(state: State, kind: WaveKind) -> list[Pair]:
    """What `next_pairs` proposes, of a batch that plans its own."""
    pairs: list[Pair] = []
    for pair in next_pairs(state, kind):
        assert not isinstance(pair, PlannedPair)
        pairs.append(pair)
    return pairs


def with_wave(state: State, kind: WaveKind, fails: Fails = never) -> State:
    """The state with the next wave of its own, oriented and answered."""
    return asked(state, orient(state, pairs_of(state, kind), kind), kind, fails)


def rounds(essays: Sequence[str], seed: int) -> list[list[Pair]]:
    """Every pair once, in matchings: the circle method (one stays, the others turn) over a shuffled table."""
    table: list[str | None] = [essays[place] for place in keyed_generator("rounds", seed).permutation(len(essays))]
    if len(table) % 2:
        table.append(None)
    drawn = []
    for _ in range(len(table) - 1):
        table = [table[0], table[-1], *table[1:-1]]
        facing = zip(table[: len(table) // 2], reversed(table[len(table) // 2 :]), strict=True)
        drawn.append([(one, other) for one, other in facing if one is not None and other is not None])
    return drawn


def covered(batch: Batch, seed: int, fails: Fails = never) -> State:
    """A batch after a drawn tournament: every pair once, oriented by the rule, then failures until none is left."""
    state = State(batch)
    for wave in rounds(batch.items, seed):
        state = asked(state, orient(state, wave, WaveKind.COVERAGE), WaveKind.COVERAGE, fails)
    while left := sorted(set(combinations(batch.items, 2)) - {(min(o), max(o)) for o in state.won()}):
        state = asked(state, orient(state, left, WaveKind.COVERAGE), WaveKind.COVERAGE, fails)
    return state
