from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.bt.comparisons import InvalidComparison
from cj_pipeline.bt.position import position_effect
from cj_pipeline.bt.standard_errors import TooManyItems
from cj_pipeline.foundation.errors import CjPipelineError
from tests.bt.simulate import simulate


def shown(n_items: int, n_rows: int, seed: int, effect: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random pairs of normal scores, judged with a bias for what is shown first."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, n_items, n_rows)
    second = (first + rng.integers(1, n_items, n_rows)) % n_items
    won = simulate(rng.normal(0, 1.5, n_items), first, second, rng, position_effect=effect)
    return first, second, won


def test_two_equal_items_shown_both_ways_have_the_log_odds_of_the_first() -> None:
    # 30 of 40 for the first, each order alike, so both scores are 0: delta = ln(30 / 10), variance 1 / (40 * 3/16)
    first = np.array([0] * 20 + [1] * 20)
    won = np.array(([True] * 15 + [False] * 5) * 2)
    found = position_effect(first, 1 - first, won, 2, kappa=0.02)
    assert found is not None
    assert found.logits == pytest.approx(np.log(3), abs=1e-9)
    assert found.standard_error == pytest.approx((1 / 7.5) ** 0.5, abs=1e-9)
    assert (found.first_wins, found.comparisons) == (30, 40)


@pytest.mark.parametrize("effect", [-0.8, 0.0, 0.5])
def test_the_effect_lies_within_its_interval_as_often_as_it_says(effect: float) -> None:
    inside, errors = 0, []
    for seed in range(60):
        found = position_effect(*shown(12, 150, seed, effect), 12, kappa=0.12)
        assert found is not None
        inside += abs(found.logits - effect) < 1.96 * found.standard_error
        errors.append((found.logits - effect) / found.standard_error)
    assert inside >= 52  # of 60; 57 expected, 52 or fewer with a chance of 2 %
    assert abs(np.mean(errors)) < 0.5


def test_showing_every_pair_the_other_way_round_turns_the_effect() -> None:
    first, second, won = shown(8, 100, 2, 0.4)
    ahead, behind = (
        position_effect(first, second, won, 8, kappa=0.08),
        position_effect(second, first, ~won, 8, kappa=0.08),
    )
    assert ahead is not None
    assert behind is not None
    assert behind.logits == pytest.approx(-ahead.logits)
    assert behind.standard_error == pytest.approx(ahead.standard_error)


@pytest.mark.parametrize("won", [True, False])
def test_where_the_first_always_or_never_wins_there_is_no_estimate(won: bool) -> None:
    assert position_effect([0, 1, 2], [1, 2, 0], [won] * 3, 3, kappa=0.03) is None
    assert position_effect([], [], [], 3, kappa=0.03) is None


def test_bad_rows_are_named() -> None:
    with pytest.raises(InvalidComparison, match=r"row 1.*itself"):
        position_effect([0, 1], [1, 1], [True, False], 2, kappa=0.02)
    with pytest.raises(InvalidComparison, match="equally many"):
        position_effect([0], [1], [True, False], 2, kappa=0.02)
    with pytest.raises(CjPipelineError, match="above 0"):
        position_effect([0], [1], [True], 2, kappa=0.0)
    with pytest.raises(TooManyItems):
        position_effect([0], [1], [True], 10_001, kappa=0.02)
