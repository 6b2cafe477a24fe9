"""This module chooses which essay of a pair is shown as Essay A: the `fair_complement` rule.

Judges favour a position, so an essay that stands too often in one of them is scored for its place, and a pair that is
always shown in one order is judged for it.

Two rules, in this order. A pair that was judged in one order more often than in the other is shown in the other one.
All other pairs of the wave are turned together so that the sum of the squared skews (#A - #B per essay) is the least
there is. In a matching nobody stands in two pairs, and one pair after another reaches that too. In a wave of many
matchings or a pass it does not, because an essay's last pair has to take what the earlier ones left: 300 essays in one
wave end with a skew of 3 instead of 1, and so do 24 essays in a second pass after 20 % failures.

A failed showing counts for its essays (production counts every row), but does not bind its pair, which nobody has
judged: turning every pair that failed leaves skews of 12 at 60 essays and 20 % failures, choosing freely leaves 2.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from cj_pipeline.engine.pairing.counts import counts_of
from cj_pipeline.engine.state import State, WaveKind
from cj_pipeline.foundation.seeding import uniform

Pair = tuple[str, str]


def orient(state: State, pairs: Sequence[Pair], kind: WaveKind) -> list[Pair]:
    """Return each pair as (shown as A, shown as B), given everything submitted before and the rest of the wave.

    A pair may come more than once; it then alternates. kind: both follow the same rules.
    """
    items = state.batch.items
    index = {item: position for position, item in enumerate(items)}
    placed = [sorted((index[first], index[second])) for first, second in pairs]
    keys = [low * len(items) + high for low, high in placed]
    counts = counts_of(state)
    shown_skew, judged_skew = counts.skews_of(np.array(keys, dtype=np.intp))
    skew: list[int] = counts.skew.tolist()
    to_come = Counter(keys)
    in_wave: Counter[int] = Counter()
    oriented: list[tuple[int, int]] = []
    movable: list[int] = []
    earlier = zip(shown_skew.tolist(), judged_skew.tolist(), strict=True)
    for position, ((low, high), key, (shown, judged)) in enumerate(zip(placed, keys, earlier, strict=True)):
        to_come[key] -= 1
        lead = judged + in_wave[key]
        if lead == 0:
            coin = uniform(state.batch.seed, "orientation", len(state.waves), position) < 0.5
            by_chance = shown < 0 or (shown == 0 and coin)
            low_first = by_chance if skew[low] == skew[high] else skew[low] < skew[high]
            # A pair that comes again in this wave has to take the other order then, so it stays as it is.
            if not to_come[key]:
                movable.append(position)
        else:
            low_first = lead < 0
        first, second = (low, high) if low_first else (high, low)
        in_wave[key] += 1 if low_first else -1
        skew[first] += 1
        skew[second] -= 1
        oriented.append((first, second))
    _even_out(oriented, movable, skew)
    return [(items[first], items[second]) for first, second in oriented]


def _even_out(oriented: list[tuple[int, int]], movable: list[int], skew: list[int]) -> None:
    """Turn movable pairs until no choice of orders has a smaller sum of squared skews; in place.

    Turning every pair on a path from `much` (A of the first one) to `little` (B of the last) moves two showings between
    these two and leaves everybody else's skew alone, which pays when they are more than 2 apart. Without such a path
    the sum is the least possible: it is a flow of convex cost, and the path a cycle of negative cost.
    """
    shown_as_a: list[set[int]] = [set() for _ in skew]
    for position in movable:
        shown_as_a[oriented[position][0]].add(position)
    turned = True
    while turned:
        turned = False
        least = min(skew, default=0)
        for much in sorted(range(len(skew)), key=lambda essay: -skew[essay]):
            while skew[much] - least > 2 and (path := _path(much, oriented, shown_as_a, skew)):
                turned = True
                for position in path:
                    first, second = oriented[position]
                    oriented[position] = (second, first)
                    shown_as_a[first].remove(position)
                    shown_as_a[second].add(position)
                skew[much] -= 2
                skew[oriented[path[-1]][0]] += 2


def _path(much: int, oriented: list[tuple[int, int]], shown_as_a: list[set[int]], skew: list[int]) -> list[int]:
    """Return places of pairs from an essay to the nearest one with a skew more than 2 below; empty without one."""
    reached_by: dict[int, int] = {}
    queue = deque([much])
    while queue:
        here = queue.popleft()
        for position in sorted(shown_as_a[here]):
            there = oriented[position][1]
            if there == much or there in reached_by:
                continue
            reached_by[there] = position
            if skew[much] - skew[there] > 2:
                path = []
                while there != much:
                    path.append(reached_by[there])
                    there = oriented[reached_by[there]][0]
                return path[::-1]
            queue.append(there)
    return []


def positions(state: State) -> dict[str, tuple[int, int]]:
    """Return how often each essay was shown as A and as B."""
    as_a = Counter(c.essay_a for c in state.comparisons())
    as_b = Counter(c.essay_b for c in state.comparisons())
    return {essay: (as_a[essay], as_b[essay]) for essay in state.batch.items}
