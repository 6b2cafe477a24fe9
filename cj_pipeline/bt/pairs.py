"""This module gathers comparisons by unordered pair, the form in which the likelihood is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.intp]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

# Up to here a table of n * n cells is cheaper to fill than the rows are to sort (512: 2 MB).
TABLE_LIMIT = 512

# Up to here a walk over the adjacency table beats building a sparse graph (5 against 75 microseconds at 12 items).
WALK_LIMIT = 64


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Every pair that was compared, once.

    n_items: items, compared or not. first, second: (p,) with first < second. first_wins, second_wins: (p,) how often
    each of the two won; their sum is positive.
    """

    n_items: int
    first: IntArray
    second: IntArray
    first_wins: FloatArray
    second_wins: FloatArray

    @property
    def wins(self) -> FloatArray:
        """Return (n,) comparisons won, by item."""
        return scatter(self, self.first_wins, self.second_wins)

    @property
    def losses(self) -> FloatArray:
        """Return (n,) comparisons lost, by item."""
        return scatter(self, self.second_wins, self.first_wins)


def scatter(pairs: Pairs, to_first: FloatArray, to_second: FloatArray) -> FloatArray:
    """Return (n,) sums by item of what every pair gives to its first and to its second item."""
    n = pairs.n_items
    return sums_by_index(pairs.first, to_first, n) + sums_by_index(pairs.second, to_second, n)


def sums_by_index(index: IntArray, values: FloatArray, size: int) -> FloatArray:
    """Return (size,) sums of the values that share an index."""
    # bincount of nothing is of integers, whatever its weights
    return np.asarray(np.bincount(index, values, size), dtype=np.float64)


def pair_keys(first: IntArray, second: IntArray, n_items: int) -> IntArray:
    """Return (m,) one whole number for each unordered pair: divmod(key, n_items) gives it back, smaller index first."""
    return np.minimum(first, second) * n_items + np.maximum(first, second)


def gather(winners: IntArray, losers: IntArray, counts: FloatArray, n_items: int) -> Pairs:
    """Add up the rows of every unordered pair; rows counted 0 times leave no pair behind."""
    keys = pair_keys(winners, losers, n_items)
    names: IntArray | None = None
    cells = n_items * n_items
    if n_items > TABLE_LIMIT:
        names, keys = np.unique(keys, return_inverse=True)
        cells = names.shape[0]
    low_wins = winners < losers
    first_wins = sums_by_index(keys, counts * low_wins, cells)
    second_wins = sums_by_index(keys, counts * ~low_wins, cells)
    seen = np.flatnonzero(first_wins + second_wins)
    first, second = np.divmod(seen if names is None else names[seen], max(n_items, 1))
    return Pairs(n_items, first, second, first_wins[seen], second_wins[seen])


def component_labels(pairs: Pairs) -> IntArray:
    """Return (n,) labels of the connected parts, numbered by their smallest item."""
    if 0 < pairs.n_items <= WALK_LIMIT and _all_reached(pairs):
        return np.zeros(pairs.n_items, dtype=np.intp)
    graph = _graph(pairs.first, pairs.second, pairs.n_items)
    return connected_components(graph, directed=False)[1].astype(np.intp)


def strong_labels(pairs: Pairs) -> IntArray:
    """Return (n,) labels of the parts within which every item beat every other, directly or through others."""
    first_won, second_won = pairs.first_wins > 0, pairs.second_wins > 0
    winners = np.concatenate((pairs.first[first_won], pairs.second[second_won]))
    losers = np.concatenate((pairs.second[first_won], pairs.first[second_won]))
    graph = _graph(winners, losers, pairs.n_items)
    return connected_components(graph, directed=True, connection="strong")[1].astype(np.intp)


def _graph(tails: IntArray, heads: IntArray, n_items: int) -> coo_array:
    return coo_array((np.ones(tails.shape[0]), (tails, heads)), shape=(n_items, n_items))


def _all_reached(pairs: Pairs) -> bool:
    linked = np.zeros((pairs.n_items, pairs.n_items), dtype=np.bool_)
    linked[pairs.first, pairs.second] = True
    linked[pairs.second, pairs.first] = True
    reached = np.zeros(pairs.n_items, dtype=np.bool_)
    reached[0] = True
    before = 0
    while before < (now := int(reached.sum())) < pairs.n_items:
        before = now
        reached |= linked[reached].any(axis=0)
    return now == pairs.n_items
