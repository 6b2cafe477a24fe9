"""How much a comparison proves, apart from whether its gate passed.

Here: interval estimates of a difference and what they say about a margin. Not here: gates (the checks).

    EQUIVALENT    the 90 % interval lies inside the margin (two one-sided tests at .05)
    DIFFERENT     the interval excludes zero and reaches outside the margin
    INCONCLUSIVE  anything else, with what would settle it
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy import stats

FloatArray = npt.NDArray[np.float64]

ALPHA = 0.05
POWER = 0.8

# Equivalence at no true difference: both one-sided tests must reject, so the type II error is split between them.
_EQUIVALENCE_FACTOR = float((stats.norm.ppf(1 - ALPHA) + stats.norm.ppf(1 - (1 - POWER) / 2)) ** 2)
_DETECTION_FACTOR = float(stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER))


class EvidenceVerdict(StrEnum):
    """What the interval says."""

    EQUIVALENT = "EQUIVALENT"
    DIFFERENT = "DIFFERENT"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Evidence:
    """An interval for live minus recorded, in the unit of the quantity, and what follows.

    minimum_detectable: difference found with 80 % power at .05 (two-sided); needed_per_side: observations that would
    show equivalence with 80 % power if there is no difference, None where the margin is zero and none ever would;
    observations: on each side now.
    """

    verdict: EvidenceVerdict
    low: float
    high: float
    margin_low: float
    margin_high: float
    minimum_detectable: float
    needed_per_side: int | None
    observations: tuple[int, int]

    def sentence(self, unit: str) -> str:
        """In words, with unit and what would settle it."""
        interval = f"90 % interval of the difference [{self.low:.4g}, {self.high:.4g}] {unit}".strip()
        if self.verdict is not EvidenceVerdict.INCONCLUSIVE:
            return f"{self.verdict}: {interval}."
        recorded, live = self.observations
        settling = (
            "No number of observations shows exact equality"
            if self.needed_per_side is None
            else f"Settling it takes about {self.needed_per_side} observations a side"
        )
        return (
            f"{self.verdict}: {interval}; detectable from {self.minimum_detectable:.3g} on. "
            f"{settling} (there are {recorded} and {live})."
        )


def difference_of_shares(recorded: tuple[int, int], live: tuple[int, int], margin: float) -> Evidence:
    """Two proportions, each as (count, of); margin: the share by which they may differ.

    Interval: Newcombe's hybrid of two Wilson score intervals (1998, method 10), which stays honest near 0 and 1.
    """
    (count_r, n_r), (count_l, n_l) = recorded, live
    share_r, share_l = count_r / n_r, count_l / n_l
    low_r, high_r = _wilson(count_r, n_r)
    low_l, high_l = _wilson(count_l, n_l)
    difference = share_l - share_r
    low = difference - math.hypot(share_l - low_l, high_r - share_r)
    high = difference + math.hypot(high_l - share_l, share_r - low_r)
    # One success and one failure added: none seen in 120 is not proof that there are none.
    pooled = (count_r + count_l + 1) / (n_r + n_l + 2)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n_r + 1 / n_l))
    # Worst case p = 1/2: 108 an arm for 20 points, 429 for 10.
    needed = _needed(0.5, margin)
    return _judge(low, high, (-margin, margin), _DETECTION_FACTOR * spread, needed, (n_r, n_l))


def difference_of_means(recorded: FloatArray, live: FloatArray, margin: tuple[float, float]) -> Evidence | None:
    """Two samples (1-d, at least 2 values each), Welch's interval; None when a sample is too small to have a spread."""
    n_r, n_l = len(recorded), len(live)
    if min(n_r, n_l) < 2:
        return None
    difference = float(live.mean() - recorded.mean())
    part_r, part_l = recorded.var(ddof=1) / n_r, live.var(ddof=1) / n_l
    error = math.sqrt(part_r + part_l)
    if error == 0.0:
        return _judge(difference, difference, margin, 0.0, 2, (n_r, n_l))
    freedom = (part_r + part_l) ** 2 / (part_r**2 / (n_r - 1) + part_l**2 / (n_l - 1))
    reach = float(stats.t.ppf(1 - ALPHA, freedom)) * error
    variance = float(recorded.var(ddof=1) + live.var(ddof=1))
    needed = _needed(variance, min(abs(margin[0]), abs(margin[1])))
    return _judge(difference - reach, difference + reach, margin, _DETECTION_FACTOR * error, needed, (n_r, n_l))


def _needed(variance: float, margin: float) -> int | None:
    """Observations a side that show equivalence; variance: of one recorded plus one live observation."""
    return math.ceil(_EQUIVALENCE_FACTOR * variance / margin**2) if margin > 0 else None


def _wilson(count: int, n: int) -> tuple[float, float]:
    """Wilson score interval at 90 % (two-sided), the one that goes with two one-sided tests at .05."""
    z = float(stats.norm.ppf(1 - ALPHA))
    centre = (count + z * z / 2) / (n + z * z)
    reach = z / (n + z * z) * math.sqrt(count * (n - count) / n + z * z / 4)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def _judge(
    low: float,
    high: float,
    margin: tuple[float, float],
    minimum_detectable: float,
    needed: int | None,
    observations: tuple[int, int],
) -> Evidence:
    if margin[0] <= low and high <= margin[1]:
        verdict = EvidenceVerdict.EQUIVALENT
    elif (low > 0 or high < 0) and (low < margin[0] or high > margin[1]):
        verdict = EvidenceVerdict.DIFFERENT
    else:
        verdict = EvidenceVerdict.INCONCLUSIVE
    return Evidence(verdict, low, high, margin[0], margin[1], minimum_detectable, needed, observations)
