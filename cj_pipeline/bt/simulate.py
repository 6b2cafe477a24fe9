"""This module draws outcomes from the model: what a Bradley-Terry judge with known scores would answer."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from cj_pipeline.bt.comparisons import item_indices
from cj_pipeline.foundation.errors import CjPipelineError

if TYPE_CHECKING:
    from cj_pipeline.bt.pairs import BoolArray


def simulate(
    theta: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    position_effect: float = 0.0,
    temperature: float = 1.0,
) -> BoolArray:
    """(m,) True where the first item of a row won, drawn with

        P(first wins) = sigmoid((theta_first - theta_second + position_effect) / temperature)

    theta: (n,) logits. first, second: (m,) item indices, as shown to the judge. position_effect: logits in favour of
    whatever is shown first. temperature: above 0; large means a judge who tosses coins.
    Raises InvalidComparison for an index outside theta, CjPipelineError for the rest.
    """
    scores = np.asarray(theta, dtype=np.float64)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise CjPipelineError("theta is one finite score an item.")
    if not (isfinite(temperature) and temperature > 0 and isfinite(position_effect)):
        raise CjPipelineError(
            f"temperature {temperature} and position_effect {position_effect}: finite, the first above 0."
        )
    shown_first = item_indices(first, scores.shape[0], "first item")
    shown_second = item_indices(second, scores.shape[0], "second item")
    if shown_first.shape != shown_second.shape:
        raise CjPipelineError(f"{shown_first.shape[0]} first items but {shown_second.shape[0]} second ones.")
    chance = expit((scores[shown_first] - scores[shown_second] + position_effect) / temperature)
    return np.asarray(rng.random(shown_first.shape[0]) < chance)
