"""This module fits Bradley-Terry with a position effect, a normal prior of estimated spread, and repeatability.

    P(A wins) = sigmoid(theta_a - theta_b + position),   theta ~ N(0, spread^2),   position ~ N(0, 1)

With probability `repeatability` the answer to a prompt is fixed: drawn once and the same whenever the prompt is asked
again. So n answers to one prompt of which k are A have the likelihood

    (1 - r) p^k (1 - p)^(n - k) + r p [k = n] + r (1 - p) [k = 0]

Every parameter comes with its uncertainty: `posterior` returns draws, not an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import cg
from scipy.special import betaln, expit, gammaln, logsumexp

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.intp]
Float32Array: TypeAlias = npt.NDArray[np.float32]

# The half-normal prior of the spread; real judges lie between .3 and 6.
SPREAD_SCALE = 3.0
POSITION_SD = 1.0

# .35 Beta(1, 6) + .65 Beta(6, 1.5): judges that do not repeat themselves beside judges that nearly always do. A weight
# of .1 near 0 turned down 3 to 12 % of faithful judges that do not repeat themselves.
REPEATABILITY_PRIOR = ((0.35, 1.0, 6.0), (0.65, 6.0, 1.5))
R_GRID = (np.arange(200) + 0.5) / 200

# Below it the importance sample has degenerated (more than 50 items and 300 pairs), and its points are moved.
LEAST_EFFECTIVE = 500

_MOVES, _LEAPS = 8, 3

# Proposals of the importance sample. From so many items on, a tenth of them first say whether the weights degenerate.
_PROPOSALS = 20_000
_PILOT_FROM = 24

_CACHED = 100_000  # values in single precision

# Items up to which matrices are dense, the grid of spreads is fine, and points are moved.
_DENSE = 200

# Degrees of freedom of the proposal: heavier tails than the posterior, so that no weight runs away.
_PROPOSAL_FREEDOM = 8.0

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


def posterior(fit: JudgementFit, size: int, rng: np.random.Generator) -> Draws:
    """Draw from the posterior: Laplace's approximation as a proposal, exact weights, then Hamiltonian moves.

    Weights are cut at P^-1/2 of their sum (Ionides, 2008). Where they degenerate (many items), the points are moved by
    Hamiltonian Monte Carlo, which leaves the posterior as it is and needs no weights. Above 200 items it is Laplace's
    approximation alone: many answers an item make it good, and no weights survive that many dimensions.
    """
    judgements = fit.judgements
    if judgements.n_items > _DENSE:
        return _laplace(fit, size, rng)
    proposals = max(_PROPOSALS, 2 * size)
    if judgements.n_items >= _PILOT_FROM:
        pilot = _sampled(fit, proposals // 10, (size + 1) // 2, rng)
        if 10 * pilot.effective_size < LEAST_EFFECTIVE:
            # Two draws of answers for each point: moves cost more than answers, and a posterior is smooth.
            points, spread = _moved(fit, np.column_stack([pilot.theta, pilot.position]), rng)
            twice = np.arange(size) // 2
            return Draws(
                points[twice, :-1],
                points[twice, -1],
                spread[twice],
                pilot.repeatability[twice],
                10 * pilot.effective_size,
            )
    draws = _sampled(fit, proposals, size, rng)
    if draws.effective_size >= LEAST_EFFECTIVE:
        return draws
    points, spread = _moved(fit, np.column_stack([draws.theta, draws.position]), rng)
    return Draws(points[:, :-1], points[:, -1], spread, draws.repeatability, draws.effective_size)


def _drawn_repeatability(fit: JudgementFit, size: int, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Draw repeatabilities from the grid, and return the cell of each."""
    cell = rng.choice(len(R_GRID), size=size, p=fit.repeatability)
    r = np.clip(R_GRID[cell] + (rng.random(size) - 0.5) / len(R_GRID), 1e-9, 1 - 1e-9)
    return r if fit.known_repeatability is None else np.full(size, fit.known_repeatability), cell


def _offsets(fit: JudgementFit, cell: IntArray, step: FloatArray) -> FloatArray:
    """Return (d, n + 1) points: the mode of each one's cell, and a step where the information there is the identity."""
    points = np.empty_like(step)
    for index in np.unique(cell).tolist():
        chosen = cell == index
        offset = solve_triangular(fit.factors[index], step[chosen].T, lower=True, trans="T").T
        points[chosen] = fit.modes[index] + offset
    return points


def _laplace(fit: JudgementFit, size: int, rng: np.random.Generator) -> Draws:
    cell = rng.choice(len(fit.spreads), size=size, p=fit.weights)
    points = _offsets(fit, cell, rng.standard_normal((size, fit.judgements.n_items + 1)))
    r, _ = _drawn_repeatability(fit, size, rng)
    return Draws(points[:, :-1], points[:, -1], fit.spreads[cell], r, float(size))


def _sampled(fit: JudgementFit, proposals: int, size: int, rng: np.random.Generator) -> Draws:
    """Draw proposals, weigh them exactly, and draw from those."""
    judgements = fit.judgements
    dimension = judgements.n_items + 1
    cell = rng.choice(len(fit.spreads), size=proposals, p=fit.weights)
    normal = rng.standard_normal((proposals, dimension))
    step = normal * np.sqrt(_PROPOSAL_FREEDOM / rng.chisquare(_PROPOSAL_FREEDOM, proposals))[:, None]
    points = _offsets(fit, cell, step)
    height = [np.log(np.diag(factor)).sum() if len(factor) else 0.0 for factor in fit.factors] + fit.log_evidence
    constant = gammaln((_PROPOSAL_FREEDOM + dimension) / 2) - gammaln(_PROPOSAL_FREEDOM / 2)
    constant -= dimension / 2 * np.log(_PROPOSAL_FREEDOM * np.pi)
    log_q = height[cell] + constant
    log_q -= (_PROPOSAL_FREEDOM + dimension) / 2 * np.log1p((step**2).sum(axis=1) / _PROPOSAL_FREEDOM)
    r, r_cell = _drawn_repeatability(fit, proposals, rng)
    spread = fit.spreads[cell]
    log_weight = _log_posterior(judgements, points, spread, r) - log_q
    if (judgements.asked > 1).any() and fit.known_repeatability is None:
        log_weight += np.log(repeatability_prior(r)) - np.log(fit.repeatability[r_cell])
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    effective_size = float(1.0 / (weight**2).sum())
    weight = np.minimum(weight, proposals**-0.5)
    weight /= weight.sum()
    chosen = rng.choice(proposals, size=size, p=weight)
    points = points[chosen]
    return Draws(points[:, :-1], points[:, -1], spread[chosen], r[chosen], effective_size)


def log_likelihood(judgements: Judgements, points: FloatArray, repeatability: FloatArray) -> FloatArray:
    """Return (d,) log-likelihoods of answers by prompt. points: (d, n + 1); repeatability: (d,)."""
    design = judgements.design.astype(np.float32)
    parts = [
        _log_likelihood(judgements, design, points[rows], repeatability[rows])
        for rows in _blocks(len(points), len(design))
    ]
    return np.concatenate(parts)


def _log_likelihood(
    judgements: Judgements, design: Float32Array, points: FloatArray, repeatability: FloatArray
) -> FloatArray:
    # In single precision: a sum of 300 terms is right to 1e-5, and the time is a fifth.
    logit = points.astype(np.float32) @ design.T
    log_a = np.minimum(logit, 0) - np.log(1 + np.exp(-np.abs(logit)))
    wins, asked = judgements.first_wins, judgements.asked
    losses = asked - wins
    fixable = (asked > 1) & ((wins == 0) | (losses == 0))
    free = np.where(fixable, 0.0, 1.0)
    # A judge known to repeat itself always may still have given unequal answers: those were free.
    r = np.clip(repeatability, 1e-9, 1 - 1e-9)
    # The logarithm of the chance of B is log_a - logit.
    total = log_a @ (free * asked).astype(np.float32) - logit @ (free * losses).astype(np.float32)
    total = total + np.log1p(-r) * ((wins > 0) & (losses > 0)).sum()
    if fixable.any():
        # (1 - r) p^n + r p, of the p of the answer that was given every time
        log_p = log_a[:, fixable] - logit[:, fixable] * (wins[fixable] == 0).astype(np.float32)
        again = np.exp(log_p * (asked[fixable] - 1).astype(np.float32))
        kept = r[:, None].astype(np.float32)
        total += (log_p + np.log((1 - kept) * again + kept)).sum(axis=1)
    return np.asarray(total)


def _blocks(rows: int, columns: int) -> list[slice]:
    """Cut rows into blocks that stay in a processor's cache: half the time of passing all of them through memory."""
    size = max(1, _CACHED // max(columns, 1))
    return [slice(start, start + size) for start in range(0, rows, size)]


def _log_posterior(judgements: Judgements, points: FloatArray, spread: FloatArray, r: FloatArray) -> FloatArray:
    theta, position = points[:, :-1], points[:, -1]
    n = theta.shape[1]
    prior = -0.5 * (theta**2).sum(axis=1) / spread**2 - n * np.log(spread) - 0.5 * (position / POSITION_SD) ** 2
    prior -= 0.5 * (n + 1) * np.log(2 * np.pi) + np.log(POSITION_SD)
    return np.asarray(prior + _log_spread_prior(spread) + log_likelihood(judgements, points, r))


def _log_spread_prior(spread: FloatArray) -> FloatArray:
    # On a grid of equal steps in the logarithm, the density gains a factor of the spread.
    return np.asarray(-0.5 * (spread / SPREAD_SCALE) ** 2 + np.log(spread))


def _spread_grid(n_items: int) -> FloatArray:
    steps = 24 if n_items <= _DENSE else 7
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
        evidence[index] = fit + prior - np.log(np.diag(lower)).sum() + float(_log_spread_prior(np.array(spread)))
        factors.append(lower)
        if n > _DENSE:  # 32 MB each at 2,000 items: those that are never drawn from are let go
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
    if n <= _DENSE:
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


def _moved(fit: JudgementFit, points: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Move points by Hamiltonian Monte Carlo, preconditioned by the information at the mode of the likeliest spread."""
    parts = [_moved_block(fit, points[rows], rng) for rows in _blocks(len(points), len(fit.judgements.first))]
    moved, spreads = zip(*parts, strict=True)
    return np.concatenate(moved), np.concatenate(spreads)


def _moved_block(fit: JudgementFit, points: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    judgements = fit.judgements
    n, size = judgements.n_items, len(points)
    spread = np.empty(size)
    # Single precision: the moves are accepted or not by differences of a few units, and it halves the time.
    factor = fit.factors[int(np.argmax(fit.weights))].astype(np.float32)
    design = judgements.design.astype(np.float32)
    share = (judgements.first_wins / judgements.asked).astype(np.float32)
    effective = fit.effective.astype(np.float32)
    at: npt.NDArray[Any] = points.astype(np.float32)
    fit_at, slope_at = _likelihood(at, design, share, effective), _likelihood_slope(at, design, share, effective)
    log_prior = _log_spread_prior(fit.spreads)
    for _ in range(_MOVES):
        # The spread given the scores, on its grid.
        energy: FloatArray = np.square(at[:, :-1].astype(np.float64)).sum(axis=1, keepdims=True)
        log_cell = log_prior - n * np.log(fit.spreads) - 0.5 * energy / fit.spreads**2
        cumulative = np.cumsum(np.exp(log_cell - log_cell.max(axis=1, keepdims=True)), axis=1)
        cells: IntArray = (rng.random(size)[:, None] > cumulative / cumulative[:, -1:]).sum(axis=1)
        spread = fit.spreads[cells]
        precision = np.repeat(spread[:, None] ** -2, n + 1, axis=1).astype(np.float32)
        precision[:, -1] = POSITION_SD**-2
        slope = slope_at - precision * at
        momentum = rng.standard_normal(at.shape, dtype=np.float32)  # where the information is the identity
        length = np.float32(0.4 * (0.75 + 0.5 * rng.random()))
        speed: npt.NDArray[Any] = momentum
        moved: npt.NDArray[Any] = at
        for _ in range(_LEAPS):
            speed = speed + 0.5 * length * solve_triangular(factor, slope.T, lower=True).T
            moved = moved + length * solve_triangular(factor, speed.T, lower=True, trans="T").T
            moved_slope = _likelihood_slope(moved, design, share, effective)
            slope = moved_slope - precision * moved
            speed = speed + 0.5 * length * solve_triangular(factor, slope.T, lower=True).T
        # Likelihood and slope do not depend on the spread: the next move starts from those where this one ended.
        moved_fit = _likelihood(moved, design, share, effective)
        log_ratio = moved_fit - fit_at - 0.5 * (precision * (moved**2 - at**2)).sum(axis=1)
        log_ratio -= 0.5 * ((speed**2).sum(axis=1) - (momentum**2).sum(axis=1))
        accepted = np.log(rng.random(size)) < log_ratio
        at, slope_at = (np.where(accepted[:, None], new, old) for new, old in ((moved, at), (moved_slope, slope_at)))
        fit_at = np.where(accepted, moved_fit, fit_at)
    return at.astype(np.float64), spread


def _likelihood(at: Float32Array, design: Float32Array, share: Float32Array, effective: Float32Array) -> FloatArray:
    """Return (d,) the log likelihood."""
    logit = at @ design.T
    fit = (share * logit - np.maximum(logit, 0) - np.log(1 + np.exp(-np.abs(logit)))) @ effective
    return np.asarray(fit, dtype=np.float64)


def _likelihood_slope(
    at: Float32Array, design: Float32Array, share: Float32Array, effective: Float32Array
) -> Float32Array:
    """Return (d, n + 1) the gradient of the log likelihood."""
    # An exponential that overflows makes a chance of 0, as it should be.
    chance = at @ -design.T
    with np.errstate(over="ignore"):
        np.exp(chance, out=chance)
    chance += 1
    np.reciprocal(chance, out=chance)
    chance -= share
    chance *= -effective
    return np.asarray(chance @ design)
