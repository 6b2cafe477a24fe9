"""This module fits Bradley-Terry with a position effect, a normal prior of estimated spread, and repeatability.

    P(A wins) = sigmoid(theta_a - theta_b + position),   theta ~ N(0, spread^2),   position ~ N(0, 1)

With probability `repeatability` the answer to a prompt is fixed: drawn once and the same whenever the prompt is asked
again. So n answers to one prompt of which k are A have the likelihood

    (1 - r) p^k (1 - p)^(n - k) + r p [k = n] + r (1 - p) [k = 0]

Every parameter comes with its uncertainty: `posterior.py` draws from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve
from scipy.linalg.lapack import dpotrf
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import cg
from scipy.special import betaln, expit, logsumexp

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.intp]

# The half-normal prior of the spread; real judges lie between .3 and 6.
SPREAD_SCALE = 3.0
POSITION_SD = 1.0

# .35 Beta(1, 6) + .65 Beta(6, 1.5): judges that do not repeat themselves beside judges that nearly always do. A weight
# of .1 near 0 turned down 3 to 12 % of faithful judges that do not repeat themselves.
REPEATABILITY_PRIOR = ((0.35, 1.0, 6.0), (0.65, 6.0, 1.5))
R_GRID = (np.arange(200) + 0.5) / 200

# Items up to which matrices are dense, the grid of spreads is fine, and points are moved.
DENSE = 200

# Less log evidence than the best by this much: not one draw in a million.
_HOPELESS = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Judgements:
    """Answers gathered by prompt: one row for each text that a judge was shown.

    n_items: items, judged or not. first, second: (p,) the items shown as A and as B. asked: (p,) answers, above 0.
    first_wins: (p,) how many of them were A.
    """

    n_items: int
    first: IntArray
    second: IntArray
    asked: FloatArray
    first_wins: FloatArray

    @property
    def design(self) -> FloatArray:
        """Return (p, n_items + 1) what each prompt adds up: +1 for A, -1 for B, +1 for the position."""
        rows = np.arange(len(self.first))
        matrix = np.zeros((len(rows), self.n_items + 1))
        matrix[rows, self.first] += 1.0
        matrix[rows, self.second] -= 1.0
        matrix[:, -1] = 1.0
        return matrix


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Posterior draws. theta: (d, n) logits. position, spread: (d,) logits. repeatability: (d,) 0 to 1."""

    theta: FloatArray
    position: FloatArray
    spread: FloatArray
    repeatability: FloatArray
    effective_size: float
    """Of the importance sample before its points were moved."""

    def part(self, chosen: slice) -> Draws:
        """Return some of the draws."""
        return Draws(
            self.theta[chosen],
            self.position[chosen],
            self.spread[chosen],
            self.repeatability[chosen],
            self.effective_size,
        )

    def log_odds(self, first: IntArray, second: IntArray) -> FloatArray:
        """Return (d, p) log-odds of A for prompts that show these items."""
        return self.theta[:, first] - self.theta[:, second] + self.position[:, None]


@dataclass(frozen=True, slots=True, eq=False)
class JudgementFit:
    """The posterior's modes over a grid of spreads.

    spreads, weights: (g,) the grid and its posterior probability. modes: (g, n + 1) theta and, last, position.
    factors: lower Cholesky factors of the information at each mode, empty where its weight is 0. effective: (p,)
    independent answers that the answers to each prompt are worth, given how often the judge repeats itself.
    """

    judgements: Judgements
    spreads: FloatArray
    weights: FloatArray
    log_evidence: FloatArray
    modes: FloatArray
    factors: tuple[FloatArray, ...]
    effective: FloatArray
    repeatability: FloatArray
    """(200,) posterior probability of each cell of a grid from 0 to 1."""
    known_repeatability: float | None = None
    """What is known of the repeatability from elsewhere; it is then taken as it is."""

    @property
    def mean(self) -> FloatArray:
        """Return (n + 1,) theta and, last, position: the mean of the modes, which shrinks as a judge's scale should."""
        return np.asarray(self.weights @ self.modes)

    @property
    def spread(self) -> float:
        """Return the posterior mean of the spread, logits."""
        return float(self.weights @ self.spreads)

    @property
    def mean_repeatability(self) -> float:
        """Return the posterior mean of the repeatability."""
        if self.known_repeatability is not None:
            return self.known_repeatability
        return float(self.repeatability @ R_GRID)


def repeatability_prior(r: FloatArray) -> FloatArray:
    """Return the prior density of the repeatability at some values."""
    density = np.zeros_like(r)
    for weight, a, b in REPEATABILITY_PRIOR:
        density = density + weight * np.exp((a - 1) * np.log(r) + (b - 1) * np.log1p(-r) - betaln(a, b))
    return np.asarray(density)


def fit_judgements(judgements: Judgements, *, repeatability: float | None = None) -> JudgementFit:
    """Fit the judge's winner part.

    repeatability: what is known of it from elsewhere; None estimates it from prompts that were asked more than once.
    """
    spreads = _spread_grid(judgements.n_items)
    repeated = judgements.asked > 1
    posterior_r = _prior_cells()
    effective = np.ones_like(judgements.asked)
    for _ in range(3 if repeated.any() else 1):
        r = float(posterior_r @ R_GRID) if repeatability is None else repeatability
        effective = 1.0 + (judgements.asked - 1.0) * (1.0 - r)
        share = judgements.first_wins / judgements.asked
        modes, evidence, factors = _modes(judgements, share, effective, spreads)
        weights = np.exp(evidence - logsumexp(evidence))
        weights = np.where([len(factor) > 0 for factor in factors], weights, 0.0)
        if repeatability is None and repeated.any():
            mean = weights @ modes
            chance = expit(mean[judgements.first] - mean[judgements.second] + mean[-1])
            posterior_r = repeatability_cells(
                judgements.first_wins[repeated], judgements.asked[repeated], chance[repeated]
            )
    return JudgementFit(judgements, spreads, weights, evidence, modes, factors, effective, posterior_r, repeatability)


def log_spread_prior(spread: FloatArray) -> FloatArray:
    """Return the logarithm of the prior density of spreads, up to a constant."""
    # On a grid of equal steps in the logarithm, the density gains a factor of the spread.
    return np.asarray(-0.5 * (spread / SPREAD_SCALE) ** 2 + np.log(spread))


def _spread_grid(n_items: int) -> FloatArray:
    steps = 24 if n_items <= DENSE else 7
    return np.geomspace(0.08, 9.0, steps)


def _prior_cells() -> FloatArray:
    density = repeatability_prior(R_GRID)
    return np.asarray(density / density.sum())


def repeatability_cells(
    wins: FloatArray, asked: FloatArray, chance: FloatArray, times: FloatArray | None = None
) -> FloatArray:
    """Return (200,) the posterior probability of each cell of `R_GRID`, from prompts that were asked more than once.

    wins, asked, chance: (p,) of each prompt. times: (p,) how many prompts are like it; None for one each.
    """
    free = chance**wins * (1 - chance) ** (asked - wins)
    fixed = np.where(wins == asked, chance, np.where(wins == 0, 1 - chance, 0.0))
    likelihood = np.log((1 - R_GRID)[:, None] * free + R_GRID[:, None] * fixed)
    log_density = np.log(repeatability_prior(R_GRID))
    log_density += likelihood.sum(axis=1) if times is None else likelihood @ times
    return np.asarray(np.exp(log_density - logsumexp(log_density)))


def _modes(
    judgements: Judgements, share: FloatArray, effective: FloatArray, spreads: FloatArray
) -> tuple[FloatArray, FloatArray, tuple[FloatArray, ...]]:
    """Maximise the penalised likelihood at each spread; return modes, log evidence (Laplace), Cholesky factors."""
    n = judgements.n_items
    modes = np.zeros((len(spreads), n + 1))
    evidence = np.zeros(len(spreads))
    factors: list[FloatArray] = []
    point = np.zeros(n + 1)
    for index, spread in enumerate(spreads):
        precision = np.full(n + 1, spread**-2)
        precision[-1] = POSITION_SD**-2
        for _ in range(100):
            gradient, weight = _slope(judgements, share, effective, point, precision)
            step = _newton_step(judgements, weight, precision, gradient)
            reach = 2 * float(np.abs(step).max())
            point = point + (step if reach <= 1 else step * (np.log1p(reach) / reach))
            if reach < 1e-6:
                break
        _, weight = _slope(judgements, share, effective, point, precision)
        lower = _factor(_curvature(judgements, weight, precision))
        modes[index] = point
        logit = point[judgements.first] - point[judgements.second] + point[-1]
        fit = -(effective * (share * np.logaddexp(0, -logit) + (1 - share) * np.logaddexp(0, logit))).sum()
        prior = -0.5 * (precision * point**2).sum() + 0.5 * np.log(precision).sum()
        evidence[index] = fit + prior - np.log(np.diag(lower)).sum() + float(log_spread_prior(np.array(spread)))
        factors.append(lower)
        if n > DENSE:  # 32 MB each at 2,000 items: those that are never drawn from are let go
            best = evidence[: index + 1].max()
            factors = [kept if evidence[i] > best - _HOPELESS else np.empty((0, 0)) for i, kept in enumerate(factors)]
    return modes, evidence, tuple(factors)


def _slope(
    judgements: Judgements, share: FloatArray, effective: FloatArray, point: FloatArray, precision: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the gradient (n + 1,) at a point, and how much each prompt weighs there (p,)."""
    first, second, n = judgements.first, judgements.second, judgements.n_items
    logit = point[first] - point[second] + point[-1]
    residual = effective * (share - expit(logit))
    weight = effective * expit(logit) * expit(-logit)
    gradient: FloatArray = np.append(np.bincount(first, residual, n) - np.bincount(second, residual, n), residual.sum())
    return gradient - precision * point, weight


def _newton_step(judgements: Judgements, weight: FloatArray, precision: FloatArray, gradient: FloatArray) -> FloatArray:
    """Solve for one step: by factors, or for many items by conjugate gradients (2,000 items: .1 s instead of 1 s)."""
    first, second, n = judgements.first, judgements.second, judgements.n_items
    if n <= DENSE:
        return np.asarray(cho_solve((_factor(_curvature(judgements, weight, precision)), True), gradient))
    shown = np.arange(len(first))
    ones = np.ones(len(first))
    columns = np.concatenate([first, second, np.full(len(first), n)])
    design = csr_array((np.concatenate([ones, -ones, ones]), (np.tile(shown, 3), columns)), shape=(len(first), n + 1))
    normal = design.T @ (design * weight[:, None]) + diags_array(precision)
    step, _ = cg(normal, gradient, rtol=1e-8, M=diags_array(1 / normal.diagonal()))
    return np.asarray(step)


def _curvature(judgements: Judgements, weight: FloatArray, precision: FloatArray) -> FloatArray:
    matrix = information(judgements.first, judgements.second, weight, judgements.n_items)
    np.einsum("ii->i", matrix)[:] += precision
    return matrix


def _factor(matrix: FloatArray) -> FloatArray:
    """Return the lower Cholesky factor of a symmetric matrix, in its place: at 2,000 items each copy is 32 MB."""
    lower, info = dpotrf(matrix.T, lower=1, clean=1, overwrite_a=1)
    if info:
        raise np.linalg.LinAlgError("the information is not positive definite")
    return np.asarray(lower)


def information(first: IntArray, second: IntArray, weight: FloatArray, n: int) -> FloatArray:
    """Return (n + 1, n + 1) Fisher information of weighted prompts in theta and, last, position; without a prior."""
    matrix = np.zeros((n + 1, n + 1))
    np.add.at(matrix, (first, second), -weight)
    np.add.at(matrix, (second, first), -weight)
    to_first, to_second = np.bincount(first, weight, n), np.bincount(second, weight, n)
    matrix[np.arange(n), np.arange(n)] += to_first + to_second
    matrix[:n, n] = matrix[n, :n] = to_first - to_second
    matrix[n, n] = weight.sum()
    return matrix
