"""This module computes infit and outfit: do the outcomes vary as much as the scores say they should?

With p the chance the scores give to what happened, a comparison has squared residual (1 - p)^2 and variance p (1 - p).
Infit is the sum of the first over the sum of the second, outfit the mean of their ratio: 1 when answers are as noisy
as the model says, above when they contradict the scores, below when they are more consistent than a Bradley-Terry
judge could be. Outfit is moved by single surprises far from the item, infit by what happens near it.
(Wright and Masters, Rating Scale Analysis, 1982, ch. 5; for comparative judgement Pollitt, 2012.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from cj_pipeline.bt.comparisons import item_indices
from cj_pipeline.bt.pairs import sums_by_index
from cj_pipeline.foundation.errors import CjPipelineError

if TYPE_CHECKING:
    from cj_pipeline.bt.comparisons import Comparisons
    from cj_pipeline.bt.pairs import FloatArray, IntArray

# exp of it is still a double; an upset this large has said all it can.
LARGEST_GAP = 700.0


@dataclass(frozen=True, slots=True, eq=False)
class MeanSquares:
    """(k,) each; infit and outfit are NaN where there is no comparison. comparisons: how many each is made of."""

    infit: FloatArray
    outfit: FloatArray
    comparisons: FloatArray


def item_mean_squares(theta: npt.ArrayLike, comparisons: Comparisons) -> MeanSquares:
    """Return them by item; a comparison counts for both of its items. theta: (n,) logits."""
    squared, variance, surprise = _residuals(theta, comparisons)
    both = np.concatenate((comparisons.winners, comparisons.losers))
    twice = [np.tile(part, 2) for part in (squared, variance, surprise, comparisons.counts)]
    return _gathered(both, *twice, size=comparisons.n_items)


def group_mean_squares(
    theta: npt.ArrayLike, comparisons: Comparisons, groups: npt.ArrayLike, n_groups: int
) -> MeanSquares:
    """Return them by group of comparisons, as by judge. groups: (m,) from 0 to n_groups - 1, one a row.

    The scores are estimated from the same answers, so a judge who gave most of them is measured against itself, and
    its mean squares lie a little below 1.
    """
    labels = item_indices(groups, n_groups, "group")
    if labels.shape != comparisons.winners.shape:
        raise CjPipelineError(f"{labels.shape[0]} groups for {comparisons.winners.shape[0]} rows.")
    return _gathered(labels, *_residuals(theta, comparisons), comparisons.counts, size=n_groups)


def _residuals(theta: npt.ArrayLike, comparisons: Comparisons) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return per row, times its count: squared residual, variance, and the ratio of the two."""
    scores = np.asarray(theta, dtype=np.float64)
    if scores.shape != (comparisons.n_items,) or not np.isfinite(scores).all():
        raise CjPipelineError(f"theta is one finite score for each of the {comparisons.n_items} items.")
    gap = np.clip(scores[comparisons.winners] - scores[comparisons.losers], -LARGEST_GAP, LARGEST_GAP)
    unexpected = expit(-gap)
    counts = comparisons.counts
    return counts * unexpected**2, counts * unexpected * expit(gap), counts * np.exp(-gap)


def _gathered(
    labels: IntArray, squared: FloatArray, variance: FloatArray, surprise: FloatArray, counts: FloatArray, *, size: int
) -> MeanSquares:
    total = sums_by_index(labels, counts, size)
    nothing = np.where(total > 0, 1.0, np.nan)
    expected = sums_by_index(labels, variance, size)
    return MeanSquares(
        infit=sums_by_index(labels, squared, size) / np.where(expected > 0, expected, np.nan),
        outfit=sums_by_index(labels, surprise, size) / np.where(total > 0, total, 1.0) * nothing,
        comparisons=total,
    )
