"""This module refits one pair design hundreds of times in one Newton iteration, for bootstraps and noise floors."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.fit import PRODUCTION_ALPHA, EstimatorOption, NoComparisons, fit
from cj_pipeline.bt.newton import CHOLESKY_LIMIT, MAX_ITERATIONS, STEP_TOLERANCE, NotConverged, starting_theta
from cj_pipeline.bt.pairs import pair_keys
from cj_pipeline.foundation.errors import CjPipelineError

if TYPE_CHECKING:
    from cj_pipeline.bt.pairs import BoolArray, FloatArray, IntArray

# Cells of the stacked Hessians worked on at once: 32 MB, about what stays out of the way of everything else.
STACKED_CELLS = 4_000_000


def fit_replicates(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    first_won: npt.ArrayLike,
    n_items: int,
    alpha: float = PRODUCTION_ALPHA,
) -> FloatArray:
    """(B, n) production scores of B outcomes of the same m comparisons, centred over compared items.

    first, second: (m,) items of every row. first_won: (B, m) bool. Row b of the answer is
    fit(Comparisons(winners of b, losers of b, n_items), alpha=alpha).theta, to 1e-8 and far sooner.
    Raises InvalidComparison, NoComparisons, EstimatorOption, NotConverged.
    """
    if not (isfinite(alpha) and alpha > 0):
        raise EstimatorOption(f"alpha is {alpha}; a prior needs a finite number above 0.")
    design = Comparisons(first, second, n_items)
    won = np.asarray(first_won)
    if won.dtype != np.bool_ or won.ndim != 2 or won.shape[1] != design.winners.shape[0]:
        wanted = f"a boolean table of B rows by {design.winners.shape[0]} comparisons"
        raise CjPipelineError(f"first_won is {wanted}, not {won.dtype} {won.shape}.")
    if n_items == 1:
        return np.zeros((won.shape[0], 1))
    if design.winners.shape[0] == 0:
        raise NoComparisons(n_items)
    if n_items > CHOLESKY_LIMIT:
        return np.array([_one(design, outcome, alpha) for outcome in won]).reshape(won.shape[0], n_items)
    size = max(1, STACKED_CELLS // n_items**2)
    theta = np.empty((won.shape[0], n_items))
    stack = _Stack(design, alpha * n_items)
    for start in range(0, won.shape[0], size):
        theta[start : start + size] = stack.maximise(won[start : start + size])
    compared = ~design.isolated
    return np.where(compared, theta - theta[:, compared].mean(axis=1, keepdims=True), 0.0)


def _one(design: Comparisons, outcome: BoolArray, alpha: float) -> FloatArray:
    winners = np.where(outcome, design.winners, design.losers)
    losers = np.where(outcome, design.losers, design.winners)
    return fit(Comparisons(winners, losers, design.n_items), alpha=alpha, uncertainty="skip").theta


class _Stack:
    """The pair design, sorted once so that the wins of every pair are one reduction over the outcomes."""

    def __init__(self, design: Comparisons, kappa: float) -> None:
        n = design.n_items
        keys = pair_keys(design.winners, design.losers, n)
        self.n_items = n
        self.kappa = kappa
        self.order: IntArray = np.argsort(keys, kind="stable")
        names, self.starts, counts = np.unique(keys[self.order], return_index=True, return_counts=True)
        self.first, self.second = np.divmod(names, n)
        self.comparisons = counts.astype(np.float64)
        self.swapped = (design.winners > design.losers)[self.order]
        # (pairs, n): +1 at the first item, -1 at the second; a product with it sums over pairs faster than a scatter.
        self.incidence = np.zeros((names.shape[0], n))
        self.incidence[np.arange(names.shape[0]), self.first] = 1.0
        self.incidence[np.arange(names.shape[0]), self.second] = -1.0

    def maximise(self, won: BoolArray) -> FloatArray:
        """(B, n) maxima of F; see newton, whose iteration this is."""
        wins = np.add.reduceat((won[:, self.order] ^ self.swapped).astype(np.float64), self.starts, axis=1)
        losses = self.comparisons - wins
        presence = np.abs(self.incidence)
        item_wins = wins @ (self.incidence > 0) + losses @ (self.incidence < 0)
        theta = starting_theta(item_wins, self.comparisons @ presence - item_wins, self.kappa)
        diagonal = np.arange(self.n_items)
        hessian = np.zeros((won.shape[0], self.n_items, self.n_items))
        for _ in range(MAX_ITERATIONS):
            gap = theta[:, self.first] - theta[:, self.second]
            first_better, second_better = expit(gap), expit(-gap)
            weights = self.comparisons * first_better * second_better
            prior = self.kappa * np.exp(theta)
            gradient = (wins * second_better - losses * first_better) @ self.incidence + (self.kappa - prior)
            hessian[:, self.first, self.second] = -weights
            hessian[:, self.second, self.first] = -weights
            hessian[:, diagonal, diagonal] = weights @ presence + prior
            step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
            reach = np.maximum(np.ptp(step, axis=1), np.abs(step).max(axis=1))
            damped = np.maximum(reach, 1.0)
            theta += step * np.where(reach > 1, np.log1p(damped) / damped, 1.0)[:, None]
            if not reach.size or reach.max() <= STEP_TOLERANCE:
                return theta
        raise NotConverged(f"a replicate found no maximum within {MAX_ITERATIONS} Newton steps.")
