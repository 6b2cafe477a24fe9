"""This module draws the answers of a Bradley-Terry judge whose scores are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit


def simulate(
    theta: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    position_effect: float = 0.0,
) -> npt.NDArray[np.bool_]:
    """Return for each row whether its first item won: P = sigmoid(theta_first - theta_second + position_effect)."""
    scores = np.asarray(theta, dtype=np.float64)
    chance = expit(scores[np.asarray(first)] - scores[np.asarray(second)] + position_effect)
    return rng.random(chance.shape[0]) < chance
