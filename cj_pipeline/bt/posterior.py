"""This module draws from the posterior of a judge's winner part: theta, position, spread and repeatability."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.special import gammaln

from cj_pipeline.bt.judgements import (
    DENSE,
    POSITION_SD,
    R_GRID,
    Draws,
    FloatArray,
    IntArray,
    JudgementFit,
    Judgements,
    log_spread_prior,
    repeatability_prior,
)

Float32Array: TypeAlias = npt.NDArray[np.float32]

# Below it the importance sample has degenerated (more than 50 items and 300 pairs), and its points are moved.
LEAST_EFFECTIVE = 500

_MOVES, _LEAPS = 8, 3

# Proposals of the importance sample. From so many items on, a tenth of them first say whether the weights degenerate.
_PROPOSALS = 20_000
_PILOT_FROM = 24

_CACHED = 100_000  # values in single precision

# Degrees of freedom of the proposal: heavier tails than the posterior, so that no weight runs away.
_PROPOSAL_FREEDOM = 8.0


def posterior(fit: JudgementFit, size: int, rng: np.random.Generator) -> Draws:
    """Draw from the posterior: Laplace's approximation as a proposal, exact weights, then Hamiltonian moves.

    Weights are cut at P^-1/2 of their sum (Ionides, 2008). Where they degenerate (many items), the points are moved by
    Hamiltonian Monte Carlo, which leaves the posterior as it is and needs no weights. Above 200 items it is Laplace's
    approximation alone: many answers an item make it good, and no weights survive that many dimensions.
    """
    judgements = fit.judgements
    if judgements.n_items > DENSE:
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
    return np.asarray(prior + log_spread_prior(spread) + log_likelihood(judgements, points, r))


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
    log_prior = log_spread_prior(fit.spreads)
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
