"""This module holds what was compared with what and who won, checked on the way in: the one input of every estimate.

n_items - 1), ties (a comparison has a winner).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cj_pipeline.bt.pairs import Pairs, component_labels, gather, sums_by_index
from cj_pipeline.foundation.errors import CjPipelineError

if TYPE_CHECKING:
    from cj_pipeline.bt.pairs import BoolArray, FloatArray, IntArray


# Whole numbers beyond it have no exact double; it also keeps every sum of counts finite.
LARGEST_COUNT = 2.0**53


class InvalidComparison(CjPipelineError):
    """A row that is no comparison.

    row: 0-based, None when no single row is at fault; problem: the sentence without its place; items: indices of the
    items that it speaks of, empty where it speaks of none.
    """

    def __init__(self, problem: str, *, row: int | None = None, items: tuple[int, ...] = ()) -> None:
        self.row = row
        self.items = items
        self.problem = problem
        super().__init__(problem if row is None else f"comparison row {row}: {problem}")


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Comparisons:
    """Rows of (winner, loser, count) over n_items items; checked when made, read-only afterwards.

    winners, losers: (m,) item indices. counts: (m,) from 0 to 2**53, ones by default; a count of c is the same as c
    rows, and a row counted 0 times links nothing. Raises InvalidComparison naming the first bad row.
    """

    winners: IntArray
    losers: IntArray
    n_items: int
    counts: FloatArray

    def __init__(
        self, winners: npt.ArrayLike, losers: npt.ArrayLike, n_items: int, counts: npt.ArrayLike | None = None
    ) -> None:
        if n_items < 0:
            raise InvalidComparison(f"n_items is {n_items}; it counts the items, so it is 0 or more.")
        won = item_indices(winners, n_items, "winner")
        lost = item_indices(losers, n_items, "loser")
        _same_length("losers", lost.shape[0], won.shape[0])
        itself = won == lost
        if itself.any():
            row = int(np.argmax(itself))
            raise InvalidComparison(f"item {won[row]} is compared with itself.", row=row, items=(int(won[row]),))
        object.__setattr__(self, "winners", won)
        object.__setattr__(self, "losers", lost)
        object.__setattr__(self, "n_items", int(n_items))
        object.__setattr__(self, "counts", _row_counts(counts, won.shape[0]))

    @property
    def n_comparisons(self) -> float:
        """Return all counts together."""
        return float(self.counts.sum())

    @property
    def wins(self) -> FloatArray:
        """Return (n,) comparisons won, by item."""
        return sums_by_index(self.winners, self.counts, self.n_items)

    @property
    def losses(self) -> FloatArray:
        """Return (n,) comparisons lost, by item."""
        return sums_by_index(self.losers, self.counts, self.n_items)

    @property
    def comparisons_per_item(self) -> FloatArray:
        """Return (n,) comparisons an item took part in; their sum is twice n_comparisons."""
        return self.wins + self.losses

    @property
    def isolated(self) -> BoolArray:
        """Return (n,) True for an item that was never compared."""
        return np.asarray(self.comparisons_per_item == 0)

    @property
    def components(self) -> IntArray:
        """Return (n,) labels of the parts of the comparison graph; an isolated item is a part of its own."""
        return component_labels(self.pairs())

    def pairs(self) -> Pairs:
        """Return the rows gathered by unordered pair, which is all the likelihood needs."""
        return gather(self.winners, self.losers, self.counts, self.n_items)


def item_indices(values: npt.ArrayLike, n_items: int, role: str) -> IntArray:
    """Return a read-only (m,) copy of item indices. Raises InvalidComparison naming the first bad row."""
    try:
        raw = np.array(values)
    except ValueError as ragged:
        raise InvalidComparison(f"{role}s are not one list of item indices.") from ragged
    if raw.size == 0:  # an empty list has no type to check
        raw = raw.astype(np.intp)
    if raw.ndim != 1:
        raise InvalidComparison(f"{role}s have shape {raw.shape}; they are one list of item indices.")
    if raw.dtype.kind == "f":  # a column with a gap in it arrives as float: accept whole numbers, name the gap
        broken = ~(np.isfinite(raw) & (raw == np.floor(raw)))
        if broken.any():
            row = int(np.argmax(broken))
            raise InvalidComparison(f"{role} {raw[row]} is not an item index.", row=row)
    elif raw.dtype.kind not in "iu":
        raise InvalidComparison(f"{role}s are {raw.dtype}, not item indices.")
    outside = (raw < 0) | (raw >= n_items)
    if outside.any():
        row = int(np.argmax(outside))
        raise InvalidComparison(f"{role} {raw[row]} is outside 0 .. {n_items - 1} ({n_items} items).", row=row)
    indices = raw.astype(np.intp)
    indices.setflags(write=False)
    return indices


def _row_counts(counts: npt.ArrayLike | None, n_rows: int) -> FloatArray:
    if counts is None:
        repeated = np.ones(n_rows)
    else:
        try:
            repeated = np.array(counts, dtype=np.float64)
        except (TypeError, ValueError) as no_number:
            raise InvalidComparison("counts are not one number a row.") from no_number
        if repeated.ndim != 1:
            raise InvalidComparison(f"counts have shape {repeated.shape}; they are one number a row.")
        _same_length("counts", repeated.shape[0], n_rows)
        bad = ~((repeated >= 0) & (repeated <= LARGEST_COUNT))
        if bad.any():
            row = int(np.argmax(bad))
            raise InvalidComparison(f"count {repeated[row]} is not a number from 0 to 2**53.", row=row)
    repeated.setflags(write=False)
    return repeated


def _same_length(name: str, length: int, n_rows: int) -> None:
    if length != n_rows:
        raise InvalidComparison(f"{n_rows} winners but {length} {name}.", row=min(length, n_rows))
