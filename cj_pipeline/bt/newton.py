"""This module maximises the Bradley-Terry log-likelihood plus the Gamma prior by Newton's method.

    F(theta) = sum over pairs of  a log s(theta_i - theta_j) + b log s(theta_j - theta_i)
             + kappa * sum over items of (theta_i - exp(theta_i)),          s(x) = 1 / (1 + exp(-x))

a and b are the wins of the two items. Every step needs the gradient and one solve with the Hessian: Cholesky up to
CHOLESKY_LIMIT items, conjugate gradients above. No line search is needed: with r the `reach` of the step (its largest
component or difference), the curvature along it changes by at most a factor exp(r), so the full step raises F while
r <= 1 (up to 1.79, in fact), and log(1 + r) / r of it always does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log1p
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.lapack import dposv
from scipy.sparse import csr_array
from scipy.special import expit

from cj_pipeline.bt.pairs import scatter
from cj_pipeline.foundation.errors import CjPipelineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cj_pipeline.bt.pairs import FloatArray, IntArray, Pairs

# Conjugate gradients overtake Cholesky at about 200 items (20 comparisons each), and Cholesky minds no ill condition.
CHOLESKY_LIMIT = 256

# The last step, not the error: convergence is quadratic, so the error left is about its square.
STEP_TOLERANCE = 1e-6

# Steps needed: 4 to 11 on ordinary nets; a score that must travel to log(1 / kappa) takes about one step a logit.
MAX_ITERATIONS = 500


class NotConverged(CjPipelineError):
    """Newton's method stopped short of the maximum; only data at the edge of double precision do that."""


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """theta: (n,) raw, in the gauge of the prior. weights: (p,) Fisher information of every pair at theta.

    gradient_norm: largest absolute component of the gradient of F at theta.
    """

    theta: FloatArray
    weights: FloatArray
    iterations: int
    gradient_norm: float


def maximise(pairs: Pairs, kappa: float, components: IntArray) -> Maximum:
    """Maximise F. With kappa 0 theta is centred on 0 in every component, and the maximum must exist.

    Raises NotConverged.
    """
    direction = _cholesky_direction if pairs.n_items <= CHOLESKY_LIMIT else _conjugate_gradient_direction
    theta = starting_theta(pairs.wins, pairs.losses, kappa)
    for iteration in range(1, MAX_ITERATIONS + 1):
        gradient, weights, prior = _slope(pairs, theta, kappa)
        step = direction(pairs, weights, prior, gradient, components)
        reach = max(float(step.max() - step.min()), float(np.abs(step).max()))
        theta = theta + (step if reach <= 1 else step * (log1p(reach) / reach))
        if reach <= STEP_TOLERANCE:
            gradient, weights, _ = _slope(pairs, theta, kappa)
            return Maximum(theta, weights, iteration, float(np.abs(gradient).max()))
    raise NotConverged(f"no maximum within {MAX_ITERATIONS} Newton steps; the last one moved {reach:.3g}.")


def starting_theta(wins: FloatArray, losses: FloatArray, kappa: float) -> FloatArray:
    """Return (..., n) log odds of winning, with half a win more on both sides; the prior then pulls on neither end."""
    theta: FloatArray = np.log((wins + 0.5) / (losses + 0.5))
    if kappa > 0:  # at the maximum the rates exp(theta) sum to n
        theta -= np.log(np.exp(theta).mean(axis=-1, keepdims=True))
    return theta


def pair_weights(pairs: Pairs, theta: FloatArray) -> FloatArray:
    """Return (p,) Fisher information of every pair: comparisons * p * (1 - p)."""
    gap = theta[pairs.first] - theta[pairs.second]
    return np.asarray((pairs.first_wins + pairs.second_wins) * expit(gap) * expit(-gap))


def log_likelihood(pairs: Pairs, theta: FloatArray) -> float:
    """Return log-likelihood of all comparisons, without the prior: 0 or below."""
    gap = theta[pairs.first] - theta[pairs.second]
    return -float(pairs.first_wins @ np.logaddexp(0, -gap) + pairs.second_wins @ np.logaddexp(0, gap))


def _slope(pairs: Pairs, theta: FloatArray, kappa: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the gradient of F (n,), pair weights (p,), and the prior's part of the Hessian's diagonal (n,)."""
    gap = theta[pairs.first] - theta[pairs.second]
    first_better, second_better = expit(gap), expit(-gap)
    # Wins against expectation, pair by pair: near separation both terms are small, and so is their rounding error.
    surplus = pairs.first_wins * second_better - pairs.second_wins * first_better
    weights = (pairs.first_wins + pairs.second_wins) * first_better * second_better
    prior = kappa * np.exp(theta)
    return scatter(pairs, surplus, -surplus) + (kappa - prior), weights, prior


def _cholesky_direction(
    pairs: Pairs, weights: FloatArray, prior: FloatArray, gradient: FloatArray, components: IntArray
) -> FloatArray:
    """Return a Newton step by a dense Cholesky factorisation of the Hessian."""
    n = pairs.n_items
    diagonal = scatter(pairs, weights, weights) + prior
    hessian = np.zeros((n, n), order="F")
    hessian[pairs.second, pairs.first] = -weights
    hessian.reshape(-1, order="F")[:: n + 1] = diagonal
    if not prior.any():  # without a prior the likelihood does not know where a component stands: hold its mean
        hessian += diagonal.mean() * (components[:, None] == components)
    _, step, info = dposv(hessian, gradient, lower=1, overwrite_a=1)
    if info != 0:
        raise NotConverged("the information matrix is singular to double precision.")
    return np.asarray(step)


def _conjugate_gradient_direction(
    pairs: Pairs, weights: FloatArray, prior: FloatArray, gradient: FloatArray, components: IntArray
) -> FloatArray:
    """Return a Newton step by conjugate gradients, scaled by the diagonal; more exact the nearer the maximum is."""
    del components  # a start at 0 never leaves the space in which every component sums to 0
    n = pairs.n_items
    upper = csr_array((weights, (pairs.first, pairs.second)), shape=(n, n))
    lower = upper.T.tocsr()
    diagonal = scatter(pairs, weights, weights) + prior
    diagonal[diagonal == 0] = 1.0  # isolated and without a prior: gradient 0, step 0

    def hessian(x: FloatArray) -> FloatArray:
        return np.asarray(diagonal * x - upper @ x - lower @ x)

    # The scaled gradient is about as long as the step to take, and an error of its square does not slow Newton down.
    relative = max(min(0.1, float(np.abs(gradient / diagonal).max())), 1e-10)
    return _conjugate_gradients(hessian, gradient, diagonal, relative)


def _conjugate_gradients(
    matrix: Callable[[FloatArray], FloatArray], right: FloatArray, diagonal: FloatArray, relative: float
) -> FloatArray:
    solution = np.zeros_like(right)
    residual = right.copy()
    scaled = residual / diagonal
    search = scaled.copy()
    size = start = float(residual @ scaled)
    for _ in range(20 * right.shape[0]):
        if size <= relative**2 * start:
            break
        image = matrix(search)
        length = size / float(search @ image)
        solution += length * search
        residual -= length * image
        scaled = residual / diagonal
        size, before = float(residual @ scaled), size
        search *= size / before
        search += scaled
    return solution
