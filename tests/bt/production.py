"""Production's own standard errors, defects included: what ours are held against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cj_pipeline.bt.comparisons import Comparisons

# Differences beyond it carry no weight there, singular values below it are dropped, the displayed cap.
GAP, RCOND, CAP = 10.0, 1e-10, 2.0


def production_standard_errors(
    theta: npt.ArrayLike, comparisons: Comparisons, *, reference: int
) -> npt.NDArray[np.float64]:
    """Root of the diagonal of the pseudo-inverse of the Fisher information without the reference's row and column.

    The reference has 0, and so has an isolated item; one that no comparison links to the reference gets a number that
    is too small. Fewer than two items: 0. No comparisons: 0.5.
    """
    n = comparisons.n_items
    if n < 2:
        return np.zeros(n)
    if comparisons.n_comparisons == 0:
        return np.full(n, 0.5)
    scores = np.asarray(theta, dtype=np.float64)
    gap = scores[comparisons.winners] - scores[comparisons.losers]
    chance = 1 / (1 + np.exp(-gap))
    weight = np.where(np.abs(gap) > GAP, 0.0, comparisons.counts * chance * (1 - chance))
    information = np.zeros((n, n))
    for one, other, sign in (
        (comparisons.winners, comparisons.losers, -1),
        (comparisons.losers, comparisons.winners, -1),
        (comparisons.winners, comparisons.winners, 1),
        (comparisons.losers, comparisons.losers, 1),
    ):
        np.add.at(information, (one, other), sign * weight)
    others = np.arange(n) != reference
    inverse = np.linalg.pinv(information[np.ix_(others, others)], rcond=RCOND)
    result = np.zeros(n)
    result[others] = np.sqrt(np.maximum(np.diag(inverse), 0.0))
    return np.minimum(result, CAP)
