"""This module holds the one definition of a percentile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def percentile(values: Sequence[float] | npt.NDArray[np.int64] | npt.NDArray[np.float64], p: float) -> float:
    """Return the p-th percentile of some values in any order, linearly interpolated (numpy's default method).

    p: 0 to 100; at or below 0 the minimum, at or above 100 the maximum. No values: 0.0.
    Production uses it for latency; its cache benchmark does not, that one takes the element at floor(n p).
    """
    if len(values) == 0:
        return 0.0
    below, fraction = percentile_rank(len(values), p)
    above = min(below + 1, len(values) - 1)
    ordered = np.partition(np.asarray(values), (below, above))
    # Python's numbers from here: numpy's own percentile adds in another order and differs in the last bit.
    low, high = ordered[below].item(), ordered[above].item()
    return float(low + (high - low) * fraction)


def percentile_rank(n: int, p: float) -> tuple[int, float]:
    """Return where the p-th percentile of n sorted values lies: the 0-based index below it, and the way to the next."""
    index = (n - 1) * min(max(p, 0.0), 100.0) / 100
    below = math.floor(index)
    return below, index - below
