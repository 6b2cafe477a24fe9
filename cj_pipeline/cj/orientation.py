"""Who is shown as A.

Here: the `fair_complement` rule. Judges favour a position, so an essay that stands too often in one of them is scored
for its place. Not here: which pairs meet (pairing.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cj_pipeline.cj.state import State, WaveKind
from cj_pipeline.seeding import uniform

Pair = tuple[str, str]


def orient(state: State, pairs: Sequence[Pair], kind: WaveKind) -> list[Pair]:
    """Each pair as (shown as A, shown as B), given everything submitted before and the wave so far."""
    skew: Counter[str] = Counter()
    shown: Counter[Pair] = Counter()
    for comparison in state.comparisons():
        _note(skew, shown, (comparison.essay_a, comparison.essay_b))
    oriented: list[Pair] = []
    for position, (first, second) in enumerate(pairs):
        coin = uniform(state.batch.seed, "orientation", len(state.waves), position) < 0.5
        choice = _order(first, second, skew, shown, coin, kind)
        _note(skew, shown, choice)
        oriented.append(choice)
    return oriented


def _order(first: str, second: str, skew: Counter[str], shown: Counter[Pair], coin: bool, kind: WaveKind) -> Pair:
    """One pair's order; skew is #A - #B per essay."""
    as_given, swapped = (first, second), (second, first)
    if kind is WaveKind.RESAMPLING and (shown[as_given] > 0) != (shown[swapped] > 0):
        return swapped if shown[as_given] else as_given
    if kind is WaveKind.RESAMPLING and shown[as_given] != shown[swapped]:
        return as_given if shown[as_given] < shown[swapped] else swapped
    cost_as_given = abs(skew[first] + 1) + abs(skew[second] - 1)
    cost_swapped = abs(skew[second] + 1) + abs(skew[first] - 1)
    if cost_as_given == cost_swapped:
        return as_given if coin else swapped
    return as_given if cost_as_given < cost_swapped else swapped


def _note(skew: Counter[str], shown: Counter[Pair], order: Pair) -> None:
    skew[order[0]] += 1
    skew[order[1]] -= 1
    shown[order] += 1


def positions(state: State) -> dict[str, tuple[int, int]]:
    """How often each essay was shown as A and as B."""
    as_a = Counter(c.essay_a for c in state.comparisons())
    as_b = Counter(c.essay_b for c in state.comparisons())
    return {essay: (as_a[essay], as_b[essay]) for essay in state.batch.items}
