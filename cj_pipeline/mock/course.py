"""This module holds what latencies owe to the order of calls: slow drift, or an even spread over some calls in a row.

The state depends on the seed and on how many calls there were, as that of bursts of errors does.
"""

from __future__ import annotations

from math import exp, sqrt
from statistics import NormalDist

from cj_pipeline.foundation.seeding import uniform
from cj_pipeline.mock.mode.mode import Mode

_NORMAL = NormalDist()
_LEAST = 2.0**-54  # a draw may be exactly 0, where the normal distribution has no quantile


class LatencyCourse:
    """Turns the uniform draw of each call into one that fits its place in the order of calls."""

    def __init__(self, mode: Mode, seed: int) -> None:
        drift = getattr(mode.latency, "drift", None)
        self._share = 0.0 if drift is None else drift.share
        self._kept = 0.0 if drift is None else exp(-1.0 / drift.calls)
        self._strata: int | None = getattr(mode.latency, "stratified", None)
        self._seed = seed
        self._calls = 0
        self._slow = 0.0
        self._order = [] if self._strata is None else _order(self._strata, seed)

    @property
    def drifts(self) -> bool:
        """Whether neighbouring calls are alike."""
        return self._share > 0.0

    def next_call(self, drawn: float) -> float:
        """Return the draw of the call that begins now, in [0, 1). drawn: the call's own."""
        call, self._calls = self._calls, self._calls + 1
        if self._strata is not None:
            return (self._order[call % self._strata] + drawn) / self._strata
        if self._share == 0.0:
            return drawn
        fresh = _NORMAL.inv_cdf(max(uniform("lps", "drift", self._seed, call), _LEAST))
        # Of the long run's size from the first call on.
        self._slow = fresh if call == 0 else self._kept * self._slow + sqrt(1.0 - self._kept**2) * fresh
        own = _NORMAL.inv_cdf(max(drawn, _LEAST))
        return min(_NORMAL.cdf(sqrt(self._share) * self._slow + sqrt(1.0 - self._share) * own), 1.0 - _LEAST)


def _order(strata: int, seed: int) -> list[int]:
    """Return the parts in an order that repeats, so that any so many calls in a row take each part once.

    A slow part is beside the fast one that makes up for it: half as many calls in a row have nearly the same mean.
    """
    order: list[int] = []
    for fast in sorted(range((strata + 1) // 2), key=lambda part: uniform("lps", "stratum", seed, part)):
        pair = [fast, strata - 1 - fast]
        order += sorted(set(pair), reverse=uniform("lps", "stratum first", seed, fast) < 0.5)
    return order
