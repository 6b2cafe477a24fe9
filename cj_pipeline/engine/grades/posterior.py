"""This module draws from the posterior of the calibration model, by elliptical slice sampling around its mode.

What is unknown is one vector: centre, log slope, log(spread / slope), and the e of every gap; all with normal priors.
Its mode is found by Fisher scoring. From there 256 chains walk by elliptical slice sampling (Murray, Adams and MacKay,
2010) against a normal distribution at the mode, widened, whose ratio to the posterior is the likelihood of the walk: no
step size to tune, and draws of the exact posterior instead of its normal approximation, whose spread is too narrow
where only a few anchors tell it. Measured: probabilities within 0.01 to 0.03 of a walk five times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, pi

import numpy as np
import numpy.typing as npt

from cj_pipeline.bt.pairs import FloatArray, IntArray
from cj_pipeline.engine.grades.scales import GradeScale
from cj_pipeline.foundation.errors import CjPipelineError, did_you_mean
from cj_pipeline.foundation.seeding import keyed_generator

# What is assumed before an anchor is seen, mean and standard deviation. The centre, in logits. The slope, logits for
# one standard deviation of essays, as a logarithm: 0.7 to 5.4 with a chance of 68 %, judges being more consistent than
# people. The spread within a grade over the slope, as a logarithm: 0.5 is what markers who correlate at about .9 with
# quality leave. e, the stretch of a gap.
CENTRE = (0.0, 4.0)
LOG_SLOPE = (log(2.0), 1.0)
LOG_SPREAD = (log(0.5), 0.6)
STRETCH = (0.0, 0.4)

CHAINS = 256
STEPS = 60
KEPT_STEPS = frozenset({40, 60})

# Wider than the mode's curvature says: a walk reaches tails that its reference distribution covers.
WIDENING = 1.5

MODE_STEPS = 200
MODE_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Anchors:
    """(k,) grade index on the scale, score and error variance of every anchor, in an order of their own."""

    grade: IntArray
    score: FloatArray
    variance: FloatArray

    @classmethod
    def of(cls, scale: GradeScale, grades: Sequence[str], scores: npt.ArrayLike, errors: npt.ArrayLike) -> Anchors:
        """Check and sort: sums of floats depend on their order, and an answer must not depend on the caller's."""
        names = list(grades)
        score, error = (np.asarray(values, dtype=np.float64) for values in (scores, errors))
        if not score.shape == error.shape == (len(names),):
            raise CjPipelineError(f"{len(names)} anchors with {score.shape} scores and {error.shape} standard errors.")
        for name in names:
            if name not in scale.grades:
                raise CjPipelineError(
                    f"'{name}' is not a grade of the scale {scale.name}. {did_you_mean(name, scale.grades)}"
                )
        if len(names) < 2 or not (np.isfinite(score).all() and np.isfinite(error).all() and (error >= 0).all()):
            raise CjPipelineError("a calibration needs two anchors or more, with finite scores and standard errors.")
        index = np.array([scale.grades.index(name) for name in names], dtype=np.intp)
        order = np.lexsort((error, score, index))
        return cls(grade=index[order], score=score[order], variance=error[order] ** 2)


class _Model:
    """The log posterior as a function of the unknown vector, or of many at once along leading axes."""

    def __init__(self, scale: GradeScale, anchors: Anchors) -> None:
        self.anchors = anchors
        self.gaps = np.diff(scale.expected_positions)
        self.shares = np.array(scale.priors)
        gaps = self.gaps.shape[0]
        self.prior_mean = np.array([CENTRE[0], LOG_SLOPE[0], LOG_SPREAD[0], *[STRETCH[0]] * gaps])
        self.prior_sd = np.array([CENTRE[1], LOG_SLOPE[1], LOG_SPREAD[1], *[STRETCH[1]] * gaps])
        # Which gaps lie below a grade, the average position taken out: (K, K - 1).
        below = np.tri(gaps + 1, gaps, -1)
        self.gap_shares = below - self.shares @ below

    def means(self, unknown: FloatArray) -> FloatArray:
        """Return (..., K) mean score of every grade."""
        positions = (self.gaps * np.exp(unknown[..., 3:])) @ self.gap_shares.T
        return np.asarray(unknown[..., :1] + np.exp(unknown[..., 1:2]) * positions)

    def spread(self, unknown: FloatArray) -> FloatArray:
        """Return (...,) standard deviation of quality within a grade."""
        return np.asarray(np.exp(unknown[..., 1] + unknown[..., 2]))

    def log_posterior(self, unknown: FloatArray) -> FloatArray:
        """Return (...,) up to a constant."""
        variance = self.spread(unknown)[..., None] ** 2 + self.anchors.variance
        residual = self.anchors.score - self.means(unknown)[..., self.anchors.grade]
        likelihood = -0.5 * (np.log(variance) + residual**2 / variance).sum(axis=-1)
        return np.asarray(likelihood - 0.5 * (((unknown - self.prior_mean) / self.prior_sd) ** 2).sum(axis=-1))

    def slope(self, unknown: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the gradient of the log posterior at one point, and its Fisher information plus that of the prior."""
        scale = np.exp(unknown[1])
        gaps = self.gaps * np.exp(unknown[3:])
        spread_variance = float(self.spread(unknown)) ** 2
        variance = spread_variance + self.anchors.variance
        residual = self.anchors.score - self.means(unknown)[self.anchors.grade]
        of_means = np.column_stack(
            (np.ones(gaps.shape[0] + 1), scale * self.gap_shares @ gaps, np.zeros(gaps.shape[0] + 1))
        )
        of_means = np.hstack((of_means, scale * self.gap_shares * gaps))[self.anchors.grade]
        of_variance = np.zeros_like(of_means)
        of_variance[:, 1:3] = 2 * spread_variance
        gradient = of_means.T @ (residual / variance) + of_variance.T @ ((residual**2 / variance - 1) / variance) / 2
        gradient -= (unknown - self.prior_mean) / self.prior_sd**2
        information = of_means.T @ (of_means / variance[:, None])
        information += of_variance.T @ (of_variance / (2 * variance**2)[:, None])
        return gradient, information + np.diag(1 / self.prior_sd**2)


def draw_posterior(scale: GradeScale, anchors: Anchors) -> tuple[FloatArray, FloatArray]:
    """Draw means (draws, K) and spreads (draws,), 512 times; the same anchors give the same ones."""
    model = _Model(scale, anchors)
    mode, information = _mode(model)
    # information = R R^T, so a standard normal z has covariance information^-1 as R^-T z.
    root = np.linalg.inv(np.linalg.cholesky(information)) * WIDENING
    generator = keyed_generator("grade calibration")

    def to_unknown(point: FloatArray) -> FloatArray:
        return np.asarray(mode + point @ root)

    def log_ratio(point: FloatArray) -> FloatArray:
        return np.asarray(model.log_posterior(to_unknown(point)) + 0.5 * (point**2).sum(axis=-1))

    point = generator.standard_normal((CHAINS, mode.shape[0]))
    height = log_ratio(point)
    kept = []
    for step in range(1, STEPS + 1):
        other = generator.standard_normal(point.shape)
        level = height + np.log1p(-generator.random(CHAINS))
        angle = generator.random(CHAINS) * 2 * pi
        lowest, highest = angle - 2 * pi, angle.copy()
        following, waiting = point.copy(), np.ones(CHAINS, dtype=np.bool_)
        while waiting.any():
            candidate = np.cos(angle)[:, None] * point + np.sin(angle)[:, None] * other
            reached = log_ratio(candidate)
            accepted = waiting & (reached >= level)
            following[accepted], height[accepted] = candidate[accepted], reached[accepted]
            waiting &= ~accepted
            # The bracket closes on angle 0, the point itself, which always lies above the level.
            highest = np.where(waiting & (angle >= 0), angle, highest)
            lowest = np.where(waiting & (angle < 0), angle, lowest)
            angle = np.where(waiting, lowest + (highest - lowest) * generator.random(CHAINS), angle)
        point = following
        if step in KEPT_STEPS:
            kept.append(to_unknown(point))
    draws = np.concatenate(kept)
    return model.means(draws), model.spread(draws)


def _mode(model: _Model) -> tuple[FloatArray, FloatArray]:
    """Return the likeliest vector and the information there; short of it is no harm, the walk starts from around it."""
    unknown = model.prior_mean.copy()
    unknown[0] = model.anchors.score.mean()
    reached = float(model.log_posterior(unknown))
    gradient, information = model.slope(unknown)
    for _ in range(MODE_STEPS):
        step = np.linalg.solve(information, gradient)
        promise = float(gradient @ step)
        length = 1.0
        while length > 1e-6 and model.log_posterior(unknown + length * step) < reached + 1e-4 * length * promise:
            length /= 2
        unknown = unknown + length * step
        reached = float(model.log_posterior(unknown))
        gradient, information = model.slope(unknown)
        if promise < MODE_TOLERANCE:
            break
    return unknown, information
