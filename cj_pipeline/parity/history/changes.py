"""This module finds where a series of numbers begins to differ from its own past, with a bounded rate of false alarms.

A Shiryaev-Roberts statistic over conformal evidence. Each value is ranked among all values of the series so far, itself
included. While the values are exchangeable, such a rank is uniform, whatever their distribution. A bet that ranks lie
higher or lower than that multiplies the evidence by e, with mean 1; R <- (1 + R) e then has the mean n after n values,
so it reaches a threshold A within n values with a probability of at most n / A. Values that are equal share the mean of
their ranks' bets. The bound holds for all series of an instance together, and starting a series afresh costs nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from cj_pipeline.mock.model.answers import FloatArray
from cj_pipeline.parity.gates import GATES

NIGHTS_PER_FALSE_ALARM = 365
LEAST_SCENARIOS = 10
BETS = np.array([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0])
"""Shifts that are bet on, in standard deviations of a normal score. Larger ones are found as fast by these.

A bet b gains b x shift - b^2 / 2 a night, so one twice as large as the shift gains nothing: without the bets of .5, a
shift of .7 is found in 6 of 20 series with a past of 60 nights, with them in 13.
"""
FIRST_NIGHTS = 10
"""A rank among fewer values says nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a series. begins: place of the first value that differs, as estimated. found: of the alarm."""

    begins: int
    found: int


def alarm_threshold(scenarios: int) -> float:
    """Return the evidence at which an alarm is raised, so that an instance has one false alarm in a year of nights."""
    return NIGHTS_PER_FALSE_ALARM * float(len(GATES)) * max(scenarios, LEAST_SCENARIOS)


def find_changes(values: Sequence[float], threshold: float) -> tuple[Change, ...]:
    """Return the changes of a series, each against what came after the one before it.

    >>> steady = [0.1, -0.2, 0.0, 0.3, -0.1, 0.2, -0.3, 0.15, -0.15, 0.05] * 4
    >>> find_changes(steady + [value + 2 for value in steady], threshold=100_000)
    (Change(begins=40, found=47),)
    """
    changes: list[Change] = []
    start = 0
    while (change := _first_change(values[start:], threshold)) is not None:
        changes.append(Change(start + change.begins, start + change.found))
        start += change.found + 1
    return tuple(changes)


def _first_change(values: Sequence[float], threshold: float) -> Change | None:
    seen: list[float] = []
    evidence = np.zeros(len(BETS))
    logs: list[FloatArray] = []
    for place, value in enumerate(values):
        insort(seen, value)
        if place < FIRST_NIGHTS:
            continue
        of_ranks, first, last = bets(len(seen)), bisect_left(seen, value), bisect_right(seen, value)
        factor = of_ranks[first] if last - first == 1 else of_ranks[first:last].mean(axis=0)
        logs.append(np.log(factor))
        evidence = (1 + evidence) * factor
        if evidence.mean() >= threshold:
            # The change lies where the evidence from there on is largest.
            gained = np.cumsum(np.array(logs)[::-1], axis=0).max(axis=1)
            return Change(begins=place - int(gained.argmax()), found=place)
    return None


@lru_cache(maxsize=4096)
def bets(n: int) -> FloatArray:
    """Return (n, b) what each bet makes of each rank among n values. Each bet has the mean 1 over ranks."""
    edges = ndtri(np.arange(n + 1) / n)[:, None]
    return np.asarray(n * np.diff(ndtr(edges - BETS), axis=0))
