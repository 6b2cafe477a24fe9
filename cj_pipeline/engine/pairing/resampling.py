"""This module chooses the pairs of a resampling pass, those with the fewest comparisons first.

A pass asks every covered pair once. Production cuts its pass by a cap per essay, in one greedy sweep that can run into
the cap everywhere before it is full: 117 to 119 of 120 comparisons at 12 essays. Here a pass is as long as it may be.
"""

from __future__ import annotations

import numpy as np

from cj_pipeline.engine.pairing.counts import Counts
from cj_pipeline.engine.pairing.net import BoolArray, FloatArray, IntArray, chance

# Above every count of comparisons: no essay to choose.
NOBODY = np.iinfo(np.int64).max


def resampling_pass(counts: Counts, room: int, luck: FloatArray) -> IntArray:
    """Return keys of the covered pairs to ask again, ascending: all, or `room` of them when there are more.

    Of a cut pass the pairs with the fewest winners come first. Of those equal in that, the choice is the one that
    leaves the essays' comparisons as even as exchanges of one pair for another can: within one of each other where they
    were even before and all pairs are covered. luck: a draw per essay, uniform on [0, 1), which breaks ties.
    """
    covered = counts.wins > 0
    pairs, wins = counts.pairs[covered], counts.wins[covered]
    if room >= len(pairs):
        return pairs
    # Pairs below this number of winners are all taken, those above it none.
    level = int(np.sort(wins)[room])
    taken = pairs[wins < level]
    essays = len(counts.compared)
    total = counts.compared + np.bincount(np.concatenate((taken // essays, taken % essays)), minlength=essays)
    cut = _even_choice(pairs[wins == level], total, room - len(taken), luck)
    return np.sort(np.concatenate((taken, cut)))


def _even_choice(pairs: IntArray, total: IntArray, room: int, luck: FloatArray) -> IntArray:
    """Choose `room` of the pairs, so that the essays' totals come out even."""
    essays = len(total)
    left = np.zeros((essays, essays), dtype=np.bool_)
    left[pairs // essays, pairs % essays] = True
    left |= left.T
    chosen = np.zeros_like(left)
    total = total.copy()
    open_pairs = left.sum(axis=1)
    everybody = np.arange(essays)
    for _ in range(room):
        # The essay with the fewest comparisons, with the one that has the fewest of the others.
        one = int(np.argmin(np.where(open_pairs > 0, total + luck, NOBODY)))
        tie = chance(luck, np.full(essays, one), everybody)
        other = int(np.argmin(np.where(left[one], total + tie, NOBODY)))
        left[one, other] = left[other, one] = False
        chosen[one, other] = chosen[other, one] = True
        total[[one, other]] += 1
        open_pairs[[one, other]] -= 1
    _even_out(chosen, left, total)
    low, high = np.nonzero(np.triu(chosen))
    keys: IntArray = low * essays + high
    return keys


def _even_out(chosen: BoolArray, left: BoolArray, total: IntArray) -> None:
    """Exchange a pair (much, third) for (little, third) while totals differ by two or more and there is such a third.

    In place. Each exchange makes the sum of the squared totals smaller, so it ends.
    """
    while (exchange := _exchange(chosen, left, total)) is not None:
        much, little, third = exchange
        chosen[much, third] = chosen[third, much] = left[little, third] = left[third, little] = False
        chosen[little, third] = chosen[third, little] = left[much, third] = left[third, much] = True
        total[much] -= 1
        total[little] += 1


def _exchange(chosen: BoolArray, left: BoolArray, total: IntArray) -> tuple[int, int, int] | None:
    """Return (much, little, third) of an exchange between the most and the least compared; None without one."""
    rising = np.argsort(total, kind="stable")
    for much in rising[::-1].tolist():
        for little in rising.tolist():
            if total[much] - total[little] < 2:
                break
            thirds = np.flatnonzero(chosen[much] & left[little])
            if len(thirds):
                return much, little, int(thirds[0])
    return None
