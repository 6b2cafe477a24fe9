"""This module counts what has been asked of a batch so far, by essay and by pair: pairs and orientation are planned
from it.

Essays are their positions in `Batch.items`; a pair is `low * n + high` of two positions. Only pairs that were asked are
stored: 5,000 essays with 50,000 comparisons have 50,000 of them at most, of 12.5 million.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cj_pipeline.engine.pairing.net import IntArray
from cj_pipeline.engine.state import State


@dataclass(frozen=True, slots=True)
class Counts:
    """Comparisons per essay and per asked pair.

    compared, skew: per essay, comparisons submitted and #A - #B of them;
    pairs: keys of the pairs asked, ascending; the rest stands beside them:
    wins: comparisons with a winner; shown_skew, judged_skew: times shown with the lower position first, minus times
    with the higher one first, of all comparisons and of those with a winner.
    """

    compared: IntArray
    skew: IntArray
    pairs: IntArray
    wins: IntArray
    shown_skew: IntArray
    judged_skew: IntArray

    def skews_of(self, keys: IntArray) -> tuple[IntArray, IntArray]:
        """Return (shown_skew, judged_skew) of any pairs; 0 for one that was never asked."""
        if not len(self.pairs):
            return np.zeros_like(keys), np.zeros_like(keys)
        place = np.minimum(np.searchsorted(self.pairs, keys), len(self.pairs) - 1)
        asked = self.pairs[place] == keys
        return np.where(asked, self.shown_skew[place], 0), np.where(asked, self.judged_skew[place], 0)


def counts_of(state: State) -> Counts:
    """Return the counts of everything submitted, answered or not."""
    items = state.batch.items
    index = {item: position for position, item in enumerate(items)}
    shown_first = np.array([index[c.essay_a] for wave in state.waves for c in wave.comparisons], dtype=np.intp)
    shown_second = np.array([index[c.essay_b] for wave in state.waves for c in wave.comparisons], dtype=np.intp)
    judged = np.array(
        [
            answer is not None and answer.winner is not None
            for wave in state.waves
            for answer in map(wave.answers.get, (c.correlation_id for c in wave.comparisons))
        ],
        dtype=np.bool_,
    )
    low, high = np.minimum(shown_first, shown_second), np.maximum(shown_first, shown_second)
    pairs, place = np.unique(low * len(items) + high, return_inverse=True)
    forward = np.where(shown_first == low, 1, -1)
    as_first = np.bincount(shown_first, minlength=len(items))
    as_second = np.bincount(shown_second, minlength=len(items))
    return Counts(
        compared=as_first + as_second,
        skew=as_first - as_second,
        pairs=pairs,
        wins=_sums(place, judged.astype(np.intp), len(pairs)),
        shown_skew=_sums(place, forward, len(pairs)),
        judged_skew=_sums(place, forward * judged, len(pairs)),
    )


def _sums(place: IntArray, values: IntArray, length: int) -> IntArray:
    return np.rint(np.bincount(place, weights=values, minlength=length)).astype(np.intp)
