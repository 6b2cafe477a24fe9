"""This module learns which scores a grade has from the anchors, essays whose grade is known.

The model, on the logit scale of the scores:

    score of an essay     ~ N(quality, se^2)                  se: its own standard error
    quality at grade g    ~ N(mean_g, spread^2)               one spread for all grades
    mean_g                = centre + slope * (position_g - average position)
    position_g+1 - position_g = gap_g * exp(e_g),   e_g ~ N(0, 0.4^2)

gap_g is the distance of two grades on a normal quality scale cut by the priors (`GradeScale.expected_positions`). So
the means rise strictly whatever the anchors say, a grade without anchors lies where its neighbours and the priors put
it, and anchors move the means as far as their number and their standard errors warrant. What is not known after that
(centre, slope, spread, e) is not settled for one value: a `Calibration` holds draws from its posterior, and every
probability is an average over them. Students never move it: a class is not graded on its own curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from cj_pipeline.bt.pairs import FloatArray
from cj_pipeline.engine.grades.posterior import Anchors, draw_posterior
from cj_pipeline.engine.grades.scales import GradeScale
from cj_pipeline.foundation.errors import CjPipelineError

# Scores at a time: 512 draws of 9 grades for 128 essays are 5 MB.
CHUNK = 128

# An essay this many standard deviations below the lowest grade is below it; production's distance.
BELOW_LOWEST_SD = 2.0


# Nine digits of a bracket of 50 logits.
HALVINGS = 36


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """The scores that separate grades, for essays with one standard error.

    boundaries: (K - 1,) rising. At each, "the lower grade or below" has the chance of "the upper grade or above".
        Where the chances of the two grades alone cross is no use: those points can be out of order, and a grade that is
        rare between two common ones would be given to nobody.
    floor: below it an essay is below the lowest grade. Two standard deviations (of quality, score and our knowledge of
        the mean together) under the lowest grade's mean, or under its upper boundary should that lie lower: the lowest
        grade keeps a range of its own.
    """

    standard_error: float
    boundaries: FloatArray
    floor: float


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What the anchors of one batch say about every grade of its scale.

    means: (draws, K) logits, rising along each row. spreads: (draws,) logits.
    """

    scale: GradeScale
    means: FloatArray
    spreads: FloatArray

    @property
    def centers(self) -> FloatArray:
        """Return (K,) expected mean score of every grade, rising."""
        return np.asarray(self.means.mean(axis=0))

    @property
    def center_errors(self) -> FloatArray:
        """Return (K,) how uncertain those are, one standard deviation."""
        return np.asarray(self.means.std(axis=0))

    def probabilities(self, scores: npt.ArrayLike, standard_errors: npt.ArrayLike) -> FloatArray:
        """Return (n, K) chance of every grade for essays with these scores and standard errors (finite; logits).

        Rows sum to 1. At a given standard error the chance of "grade g or lower" falls strictly with the score.
        """
        score, error = (np.asarray(values, dtype=np.float64) for values in (scores, standard_errors))
        if score.ndim != 1 or score.shape != error.shape:
            raise CjPipelineError(f"{error.shape} standard errors for {score.shape} scores.")
        if not (np.isfinite(score).all() and np.isfinite(error).all() and (error >= 0).all()):
            raise CjPipelineError("a grade needs a finite score and a finite standard error, 0 or more.")
        parts = [
            self._some_probabilities(score[start : start + CHUNK], error[start : start + CHUNK])
            for start in range(0, score.shape[0], CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.scale.grades)))

    def cuts(self, standard_error: float) -> Cuts:
        """Return where one grade ends and the next begins, for essays with this standard error (logits)."""
        boundaries = self._boundaries(standard_error)
        doubt = float(np.mean(self.spreads**2)) + standard_error**2 + float(self.center_errors[0]) ** 2
        top = min(float(self.centers[0]), float(boundaries[0]))
        return Cuts(standard_error, boundaries, top - BELOW_LOWEST_SD * sqrt(doubt))

    def _boundaries(self, standard_error: float) -> FloatArray:
        cells = len(self.scale.grades) - 1
        low, high = np.full(cells, self.centers[0]), np.full(cells, self.centers[-1])
        width = float(self.centers[-1] - self.centers[0])
        reach = width
        while (outside := self._excess_below(low, standard_error) <= 0).any():
            low[outside] -= reach
            reach *= 2
        reach = width
        while (outside := self._excess_below(high, standard_error) > 0).any():
            high[outside] += reach
            reach *= 2
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            below = self._excess_below(middle, standard_error) > 0
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray((low + high) / 2)

    def _excess_below(self, scores: FloatArray, standard_error: float) -> FloatArray:
        """Return (K - 1,) chance of grade k or lower at score k, minus one half."""
        table = self.probabilities(scores, np.full(scores.shape[0], standard_error))
        return np.asarray(np.diagonal(np.cumsum(table, axis=1)) - 0.5)

    def _some_probabilities(self, score: FloatArray, error: FloatArray) -> FloatArray:
        variance = self.spreads[:, None] ** 2 + error[None, :] ** 2
        distance = score[None, :, None] - self.means[:, None, :]
        log_joint = np.log(self.scale.priors) - distance**2 / (2 * variance[:, :, None])
        return np.asarray(softmax(log_joint, axis=2).mean(axis=0))


def calibrate(scale: GradeScale, grades: Sequence[str], scores: npt.ArrayLike, errors: npt.ArrayLike) -> Calibration:
    """Learn the scale from anchors: (k,) names of grades, scores and standard errors in logits.

    The order of the anchors does not matter, and the same anchors give the same calibration. Two anchors are enough
    for a posterior, however wide; how many should be asked for is the projection's rule.
    Raises CjPipelineError for a grade that is not on the scale, and for scores or errors that are not finite.
    """
    anchors = Anchors.of(scale, grades, scores, errors)
    means, spreads = draw_posterior(scale, anchors)
    return Calibration(scale=scale, means=means, spreads=spreads)
