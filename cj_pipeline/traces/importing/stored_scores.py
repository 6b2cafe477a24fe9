"""This module compares the scores that a source stored with those that its comparisons give here.

It decides nothing: production's scores may come from another estimator, and a trace is good without them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import StatisticsError, correlation


@dataclass(frozen=True, slots=True)
class ScoreAgreement:
    """essays: in both sets; correlation: Pearson's, None where one set does not vary; differences in logits.

    largest_difference: after both sets were centred on their means, since a scale has no zero of its own.
    """

    essays: int
    correlation: float | None
    largest_difference: float


def score_agreement(stored: Mapping[str, float], replayed: Mapping[str, float]) -> ScoreAgreement | None:
    """Return how far two sets of scores by essay id lie apart; None where they have fewer than two essays in common."""
    both = sorted(essay for essay in stored if essay in replayed and math.isfinite(stored[essay]))
    if len(both) < 2:
        return None
    one, other = [stored[essay] for essay in both], [replayed[essay] for essay in both]
    shift = sum(one) / len(one) - sum(other) / len(other)
    largest = max(abs(a - b - shift) for a, b in zip(one, other, strict=True))
    try:
        together = correlation(one, other)
    except StatisticsError:
        together = None
    return ScoreAgreement(essays=len(both), correlation=together, largest_difference=largest)
