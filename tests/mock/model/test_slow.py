"""How slowly a measure changes: found where a recording shows it, left open where it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from cj_pipeline.mock.model.slow import fit_slow


def scores(n: int, share: float, fade: float, rng: np.random.Generator) -> np.ndarray:
    kept = np.exp(-1 / fade)
    fresh = rng.standard_normal(n) * np.append(1.0, np.full(n - 1, np.sqrt(1 - kept**2)))
    slow = lfilter([1.0], [1.0, -kept], fresh)
    return np.asarray(np.sqrt(share) * slow + np.sqrt(1 - share) * rng.standard_normal(n))


def coverage(n: int, share: float, fade: float) -> float:
    """Share of intervals of 95 % for a second mean of n that hold it."""
    rng = np.random.default_rng([n, int(10 * share)])
    held = []
    for _ in range(150):
        recorded, live = scores(n, share, fade, rng), scores(n, share, fade, rng)
        fit = fit_slow(recorded)
        cell = fit.drawn_cells(2_000, rng)
        size = recorded.std(ddof=1) * fit.size[cell] * np.sqrt((n - 1) / rng.chisquare(n - 1, 2_000))
        apart = size * np.sqrt(2 * fit.variance_of_mean(n)[cell]) * rng.standard_normal(2_000)
        low, high = np.quantile(apart, [0.025, 0.975])
        held.append(low <= live.mean() - recorded.mean() <= high)
    return float(np.mean(held))


@pytest.mark.parametrize(
    ("n", "share", "least"), [(10, 0.0, 0.93), (66, 0.0, 0.93), (10, 0.3, 0.7), (20, 0.3, 0.58), (66, 0.3, 0.58)]
)
def test_intervals_hold_a_second_mean(n: int, share: float, least: float) -> None:
    """Those of .3 over 20 calls hold it in 48 to 69 % without a slow part; more would cost the power of all others."""
    assert coverage(n, share, 20.0) >= least


def test_ten_answers_leave_it_open_and_a_thousand_do_not() -> None:
    rng = np.random.default_rng(3)
    assert 0.03 < np.mean([fit_slow(scores(10, 0.0, 20.0, rng)).probable for _ in range(20)]) < 0.2
    assert np.mean([fit_slow(scores(1_000, 0.0, 20.0, rng)).probable for _ in range(5)]) < 0.05
    assert fit_slow(scores(1_000, 0.4, 20.0, rng)).probable > 0.99


def test_equal_values_have_no_slow_part() -> None:
    assert fit_slow(np.zeros(10)).probable == 0.0


def test_ranks_are_even_and_neighbours_as_alike_as_their_cell_says() -> None:
    fit = fit_slow(scores(400, 0.4, 20.0, np.random.default_rng(4)))
    cell = int(np.flatnonzero((fit.share == 0.5) & (fit.kept > 0.94))[0])
    ranks = fit.ranks(np.repeat([0, cell], 300), 100, np.random.default_rng(5)) - 0.5
    for rows, correlation in ((ranks[:300], 0.0), (ranks[300:], 0.5 * fit.kept[cell])):
        assert np.quantile(rows, [0.1, 0.5, 0.9]) == pytest.approx([-0.4, 0.0, 0.4], abs=0.02)
        assert 12 * (rows[:, 1:] * rows[:, :-1]).mean() == pytest.approx(correlation, abs=0.05)
