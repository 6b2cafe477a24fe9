"""This module chooses the pairs of the next wave from the state: the trace's own (`recorded`), or planned (`balanced`).

An essay stands at most once in a matching, so a coverage wave is at most floor(n/2) wide; a resampling wave is a whole
pass over the covered pairs.
"""

from __future__ import annotations

import numpy as np

from cj_pipeline.contracts.engine_settings import Pairing
from cj_pipeline.engine.pairing.counts import Counts, counts_of
from cj_pipeline.engine.pairing.matching import best_matching
from cj_pipeline.engine.pairing.net import FloatArray, IntArray, Net
from cj_pipeline.engine.pairing.resampling import resampling_pass
from cj_pipeline.engine.state import PlannedPair, State, WaveKind
from cj_pipeline.foundation.seeding import keyed_generator

Pair = tuple[str, str]

# What an unset `pair_generation_seed` counts as. The batch's own seed makes the difference between batches.
UNSET_SEED = 42


def next_pairs(state: State, kind: WaveKind) -> list[PlannedPair] | list[Pair]:
    """Return the pairs of the next wave, at most as many as the budget allows; empty when there is nothing to ask.

    Recorded pairs come in the trace's orientation; balanced ones unordered, for orientation.py.
    """
    if state.remaining <= 0:
        return []
    if state.batch.settings.pairing is Pairing.RECORDED:
        return _recorded_wave(state)
    counts = counts_of(state)
    if kind is WaveKind.COVERAGE:
        return _named(state, *_heaviest(coverage_net(state, counts), state.remaining))
    pairs = resampling_pass(counts, state.remaining, _luck(state, "resampling"))
    return _named(state, pairs // len(state.batch.items), pairs % len(state.batch.items))


def _recorded_wave(state: State) -> list[PlannedPair]:
    """Return the plan's next wave of any kind: the trace says what was asked, the engine what that means."""
    if len(state.waves) >= len(state.batch.plan):
        return []
    return list(state.batch.plan[len(state.waves)][: state.remaining])


def coverage_net(state: State, counts: Counts) -> Net:
    """Return every essay, and whom it may meet in a coverage wave: all but those of the state's closed pairs."""
    items = state.batch.items
    score = np.array([(state.scores or {}).get(item, 0.0) for item in items])
    luck = _luck(state, "jitter")
    # Equal scores, as before the first answer: in an order of chance, or the smallest ids would always meet.
    rising = np.lexsort((luck, score))
    place = np.empty_like(rising)
    place[rising] = np.arange(len(items))
    place_of = dict(zip(items, place.tolist(), strict=True))
    closed = state.closed_pairs()
    one = np.array([place_of[first] for first, _ in closed], dtype=np.intp)
    other = np.array([place_of[second] for _, second in closed], dtype=np.intp)
    allowed = np.ones((len(items), len(items)), dtype=np.bool_)
    allowed[one, other] = allowed[other, one] = False
    np.fill_diagonal(allowed, False)
    return Net(
        essay=rising,
        score=score[rising],
        compared=counts.compared[rising],
        luck=luck[rising],
        open=allowed,
        evenness=state.batch.settings.matching_weight_comparison_count,
        closeness=state.batch.settings.matching_weight_bt_proximity,
    )


def _heaviest(net: Net, room: int) -> tuple[IntArray, IntArray]:
    """Return (one side, other side) of a best matching of at most `room` pairs, as positions in Batch.items.

    A shorter one than everybody could have is made of the least compared, if they can be paired; else it is the
    heaviest pairs of the long one.
    """
    if 2 * room < len(net):
        least = np.sort(net.sits_out_first()[-2 * room :])
        one, other = best_matching(net.part(least))
        if len(one) == room:
            return net.essay[least[one]], net.essay[least[other]]
    one, other = best_matching(net)
    kept = np.argsort(-net.weight(one, other), kind="stable")[:room]
    return net.essay[one[kept]], net.essay[other[kept]]


def _named(state: State, one: IntArray, other: IntArray) -> list[Pair]:
    """Return pairs of ids, sorted."""
    items = state.batch.items
    low, high = np.minimum(one, other), np.maximum(one, other)
    return [(items[first], items[second]) for first, second in sorted(zip(low.tolist(), high.tolist(), strict=True))]


def _luck(state: State, purpose: str) -> FloatArray:
    """Return a draw per essay, uniform on [0, 1), new in each wave: production re-uses one seed."""
    batch = state.batch
    seed = batch.settings.pair_generation_seed
    draws = keyed_generator(UNSET_SEED if seed is None else seed, batch.seed, purpose, len(state.waves))
    return draws.uniform(0.0, 1.0, len(batch.items))
