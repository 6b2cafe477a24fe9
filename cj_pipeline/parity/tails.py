"""This module makes many draws of few, where a draw is so large that many would take too long.

The few keep their order of size and how they go together (a Gaussian copula); between them values are interpolated. Of
500 draws each tail goes on beyond two deviations along a line through its outer sixth, as that of a normal sum would. A
limit of .1 % made of 500 draws is wrong by 8 to 10 % (root mean square, as a distance from the median; normal, gamma
and the largest of 50), without smoothing by 12 to 15 %; of 8,000 draws by 4 %.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from cj_pipeline.mock.model.answers import FloatArray
from cj_pipeline.mock.model.measures import normal_scores

_TAIL_FROM = 2.0  # deviations
_LEAST_BEYOND = 12  # draws


def smoothed(few: FloatArray, size: int, rng: np.random.Generator) -> FloatArray:
    """Return (k, size) draws like the (k, d) few, at least 100, of k measures that belong together."""
    scores = np.stack([normal_scores(row) for row in few])
    normal = rng.multivariate_normal(np.zeros(len(few)), scores @ scores.T / few.shape[1], size, method="eigh").T
    return np.stack([_stretched(np.sort(row), at) for row, at in zip(few, normal, strict=True)])


def _stretched(ordered: FloatArray, at: FloatArray) -> FloatArray:
    """Return (size,) values at normal deviates, of a distribution that (d,) ordered values came from."""
    scores = ndtri((np.arange(len(ordered)) + 0.5) / len(ordered))
    values = np.interp(at, scores, ordered)
    # Where more draws lie further out, they say more of a heavy tail than a line does.
    tail_from = max(_TAIL_FROM, float(ndtri(1 - _LEAST_BEYOND / len(ordered))))
    for sign in (-1, 1):
        outer = sign * scores > tail_from - 1
        slope = max(float(np.polyfit(scores[outer], ordered[outer], 1)[0]), 0.0)
        begin = float(np.interp(sign * tail_from, scores, ordered))
        beyond = sign * at > tail_from
        values[beyond] = begin + slope * (at[beyond] - sign * tail_from)
    return np.asarray(values)
