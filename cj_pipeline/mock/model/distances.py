"""This module measures how far two samples lie apart, and how far two of one distribution lie apart by chance.

Under one distribution, any division of the pooled values into two samples is as likely as any other: so the distances
of random divisions are those that chance gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from cj_pipeline.mock.mode.held_out import Distance, Measure
from cj_pipeline.mock.model.answers import BoolArray, FloatArray, IntArray

DIVISIONS = 1_000
SELDOM = 0.998

# From so many answers on, limits are fixed: what chance gives is then less than anybody cares about.
MANY = 5_000
MANY_LIMITS = {"latency_p99": 0.10}
MANY_LIMIT = 0.05

LEAST_FOR_P99 = 100

# A median distance times this is the most that a calibrated mode may lie apart in the median of many judges.
TYPICAL_FACTOR = 1.1

_MOST_VALUES = 2_000_000  # of all divisions together


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """One measure three times: as the mock answers, as was held out, and as the mode was fitted to."""

    mock: FloatArray
    held: FloatArray
    fitted: FloatArray


def distance(measure: Measure, values: Values, rng: np.random.Generator) -> tuple[float, FloatArray]:
    """Return how far the mock lies from what was held out, and (d,) how far two samples lie apart by chance."""
    pooled = np.concatenate([values.fitted, values.held])
    draws = int(np.clip(_MOST_VALUES // len(pooled), 10, DIVISIONS))
    if measure == "latency_p99":
        apart = float(np.abs(_log_p99(values.mock) - _log_p99(values.held)))
        shuffled = rng.permuted(np.broadcast_to(pooled, (draws, len(pooled))), axis=1)
        first, second = np.split(shuffled, [len(values.fitted)], axis=1)
        return apart, np.abs(_log_p99(first) - _log_p99(second))
    scale = max(float(values.held.mean()), 1e-9)
    in_first = np.arange(len(pooled)) < len(values.fitted)
    divided = rng.permuted(np.broadcast_to(in_first, (draws, len(pooled))), axis=1)
    return wasserstein(values.mock, values.held) / scale, _divided(np.sort(pooled), divided) / float(pooled.mean() or 1)


def mean_distances(group: IntArray, values: FloatArray, in_first: BoolArray, draws: int, seed: int) -> FloatArray:
    """Return (draws,) distances between the means of groups in two samples, when chance divides each group among them.

    group: (n,) from 0. in_first: (n,) which of the values are of the first sample. 0 where no group varies.
    """
    sizes = np.bincount(group)
    means = np.bincount(group, values) / sizes
    within, scale = values - means[group], max(float(values.mean()), 1e-9)
    if np.abs(within).max() <= 1e-9 * scale:
        return np.zeros(draws)
    counts = [np.bincount(group[side], minlength=len(sizes)) for side in (in_first, ~in_first)]
    both = np.flatnonzero((counts[0] > 0) & (counts[1] > 0))
    by_group, found, rng = np.argsort(group, kind="stable"), np.zeros(draws), np.random.default_rng(seed)
    for draw in range(draws if len(both) else 0):
        shuffled = np.empty(len(values))
        shuffled[by_group] = within[np.lexsort((rng.random(len(values)), group))]
        first, second = (
            np.repeat(
                means[both] + np.bincount(group[side], shuffled[side], len(sizes))[both] / count[both], counts[1][both]
            )
            for side, count in zip((in_first, ~in_first), counts, strict=True)
        )
        found[draw] = wasserstein(first, second) / scale
    return found


def judged_distance(measure: Measure, value: float, chance: FloatArray, recorded: int, *, judged: bool) -> Distance:
    """Return a distance with what it is held against. recorded: answers that the mode was fitted to."""
    typical = float(np.median(chance))
    limit = max(float(np.quantile(chance, SELDOM)), TYPICAL_FACTOR * typical)
    if recorded >= MANY and measure != "error_rate":
        limit = MANY_LIMITS.get(measure, MANY_LIMIT)
    return Distance(value=_short(value), typical=_short(typical), limit=_short(limit), judged=judged)


def wasserstein(first: FloatArray, second: FloatArray) -> float:
    """Return the area between two distribution functions: by how much answers must be moved to make one of the other.

    >>> wasserstein(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    1.0
    """
    places = np.sort(np.concatenate([first, second]))
    below = [np.searchsorted(np.sort(values), places[:-1], side="right") / len(values) for values in (first, second)]
    return float((np.abs(below[0] - below[1]) * np.diff(places)).sum())


def error_rate_distances(failed: int, calls: tuple[int, int], bursts: float) -> FloatArray:
    """Return (d,) differences of two samples' error rates, by quantiles of a normal distribution.

    failed: calls that did, of all. bursts: correlation of neighbouring calls, which are worth less for it.
    """
    p = (failed + 0.5) / (sum(calls) + 1)
    worth = (1 + bursts) / (1 - bursts)
    deviation = np.sqrt(p * (1 - p) * worth * (1 / calls[0] + 1 / calls[1]))
    even = (np.arange(DIVISIONS) + 0.5) / DIVISIONS
    return np.asarray(deviation * ndtri(0.5 + even / 2))


def _divided(ordered: FloatArray, in_first: np.ndarray) -> FloatArray:
    """(d,) Wasserstein distances of divisions. ordered: (n,) all values, sorted. in_first: (d, n) who goes where."""
    first = np.cumsum(in_first[:, :-1], axis=1)
    second = np.arange(1, len(ordered)) - first
    n_first = int(in_first[0].sum())
    gaps = np.abs(first / n_first - second / (len(ordered) - n_first))
    return np.asarray(gaps @ np.diff(ordered))


def _log_p99(values: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.maximum(np.quantile(values, 0.99, axis=-1), 1.0)))


def _short(value: float) -> float:
    return float(f"{value:.4g}")
