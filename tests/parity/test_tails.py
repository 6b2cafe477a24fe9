"""Many draws made of few: limits, correlation and odd shapes stay as they were."""

from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.parity.tails import smoothed

LIMITS = (0.001, 0.999)


def of_few(few: np.ndarray, size: int = 8_000) -> np.ndarray:
    return smoothed(few, size, np.random.default_rng(2))


def test_a_limit_of_a_thousandth_made_of_500_draws_is_right_within_a_tenth() -> None:
    rng = np.random.default_rng(1)
    truth = np.quantile(rng.gamma(20, 1, 1_000_000), LIMITS) - 20
    found = np.array([np.quantile(of_few(rng.gamma(20, 1, (1, 500)))[0], LIMITS) - 20 for _ in range(40)])
    # Of 500 draws alone: 10 % and 15 %.
    assert np.sqrt(((found / truth - 1) ** 2).mean(axis=0)).max() < 0.12
    assert abs((found / truth).mean(axis=0) - 1).max() < 0.08


def test_measures_that_go_together_still_do() -> None:
    pair = np.random.default_rng(3).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 500).T
    assert np.corrcoef(of_few(pair))[0, 1] == pytest.approx(np.corrcoef(pair)[0, 1], abs=0.05)


def test_two_kinds_of_runs_stay_two_kinds() -> None:
    rng = np.random.default_rng(4)
    kinds = np.where(rng.random(500) < 0.35, -1.5, 1.0) + 0.1 * rng.standard_normal(500)
    low, high = np.quantile(of_few(kinds[None])[0], LIMITS)
    assert -2.0 < low < -1.6  # a normal of the same deviation would go to -3.3
    assert 1.2 < high < 1.6


def test_what_never_varies_never_will() -> None:
    steady = np.stack([np.full(500, 7.0), np.random.default_rng(5).standard_normal(500)])
    assert (of_few(steady)[0] == 7.0).all()
