"""This module says how sure a projected grade is, from the whole distribution over the grades. The distribution already
holds the essay's standard error, so no standard error is looked at a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import log

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy


class ConfidenceLabel(StrEnum):
    """Production's names."""

    HIGH = "HIGH"
    MID = "MID"
    LOW = "LOW"


# Production's cuts. On nine grades .8 / .1 / .1 scores .71 and an even choice of two .68; an even choice of three
# scores .5, of four .37.
HIGH_CUT = 0.7
MID_CUT = 0.4


@dataclass(frozen=True, slots=True)
class Confidence:
    """score: 1 for a certain grade, 0 when all grades are equally likely."""

    score: float
    label: ConfidenceLabel


def confidence(probabilities: npt.ArrayLike) -> Confidence:
    """Return 1 - H / log K, with H the entropy of (K,) probabilities of K grades, two or more."""
    chances = np.asarray(probabilities, dtype=np.float64)
    entropy = -float(xlogy(chances, chances).sum()) / log(chances.shape[0])
    score = min(max(1.0 - entropy, 0.0), 1.0)
    if score >= HIGH_CUT:
        return Confidence(score, ConfidenceLabel.HIGH)
    return Confidence(score, ConfidenceLabel.MID if score >= MID_CUT else ConfidenceLabel.LOW)
