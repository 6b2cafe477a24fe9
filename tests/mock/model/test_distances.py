"""How far two samples lie apart, and how far by chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from cj_pipeline.mock.model.distances import (
    MANY,
    SELDOM,
    TYPICAL_FACTOR,
    Values,
    distance,
    error_rate_distances,
    judged_distance,
    wasserstein,
)


def test_the_distance_is_scipys() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.lognormal(size=40), rng.lognormal(0.3, size=57)
    assert wasserstein(first, second) == pytest.approx(wasserstein_distance(first, second))


def test_two_samples_of_one_judge_are_apart_as_chance_says() -> None:
    rng = np.random.default_rng(2)
    shares, seldom = [], 0
    for _ in range(60):
        held, fitted = rng.lognormal(0, 0.4, (2, 66))
        value, chance = distance("latency", Values(fitted, held, fitted), rng)
        shares.append(float((chance < value).mean()))
        seldom += not judged_distance("latency", value, chance, 66, judged=True).limit >= value
    assert 0.35 < np.mean(shares) < 0.65
    assert seldom <= 2


def test_a_median_distance_is_typical() -> None:
    """The mode is the recording's own distribution, so it lies as far off as another recording."""
    rng = np.random.default_rng(3)
    ratios = []
    for _ in range(80):
        held, fitted = rng.lognormal(0, 0.4, (2, 66))
        value, chance = distance("latency", Values(fitted, held, fitted), rng)
        ratios.append(value / np.median(chance))
    assert np.median(ratios) < TYPICAL_FACTOR


@pytest.mark.parametrize("factor", [1.4, 0.6])
def test_a_slow_or_fast_mock_lies_beyond_the_limit(factor: float) -> None:
    rng = np.random.default_rng(4)
    held, fitted = rng.lognormal(0, 0.4, (2, 66))
    value, chance = distance("latency", Values(factor * fitted, held, fitted), rng)
    assert value > judged_distance("latency", value, chance, 66, judged=True).limit


def test_from_many_answers_on_the_limits_are_five_and_ten_percent() -> None:
    chance = np.full(100, 0.2)
    assert judged_distance("latency", 0.0, chance, MANY, judged=True).limit == 0.05
    assert judged_distance("latency_p99", 0.0, chance, MANY, judged=True).limit == 0.1
    assert judged_distance("latency", 0.0, chance, MANY - 1, judged=True).limit == pytest.approx(0.22)


def test_bursts_make_calls_worth_less() -> None:
    even, bursty = (error_rate_distances(10, (66, 66), bursts) for bursts in (0.0, 0.6))
    assert np.quantile(bursty, SELDOM) == pytest.approx(2 * np.quantile(even, SELDOM))
    # Binomial: two samples of 66 with a rate of .08 are apart by more than 3.1 standard deviations once in 500.
    assert np.quantile(even, SELDOM) == pytest.approx(3.09 * np.sqrt(0.079 * 0.921 * 2 / 66), rel=0.04)
