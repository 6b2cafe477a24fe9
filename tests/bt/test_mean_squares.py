from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.bt.comparisons import Comparisons, InvalidComparison
from cj_pipeline.bt.fit import fit
from cj_pipeline.bt.mean_squares import group_mean_squares, item_mean_squares
from cj_pipeline.foundation.errors import CjPipelineError
from tests.bt.nets import ladder, outcome
from tests.bt.simulate import simulate


def test_one_expected_win_and_one_upset_have_the_mean_squares_of_the_definition() -> None:
    # theta 0.8 and 0: p = sigmoid(0.8) = 0.6900 for the win, 0.3100 for the upset; variance 0.2139 for both
    squares = item_mean_squares([0.8, 0.0], Comparisons([0, 1], [1, 0], 2))
    win, upset = 0.3100255189, 0.6899744811
    assert squares.infit == pytest.approx([(win**2 + upset**2) / (2 * win * upset)] * 2)
    assert squares.outfit == pytest.approx([(win / upset + upset / win) / 2] * 2)
    assert squares.comparisons.tolist() == [2, 2]


def test_answers_drawn_from_the_model_have_mean_squares_of_one() -> None:
    rng = np.random.default_rng(3)
    first = rng.integers(0, 40, 20_000)
    second = (first + rng.integers(1, 40, 20_000)) % 40
    theta = rng.normal(0, 1.5, 40)
    net = outcome(first, second, simulate(theta, first, second, rng), 40)
    squares = item_mean_squares(fit(net, estimator="mle").theta, net)
    assert squares.infit.mean() == pytest.approx(1.0, abs=0.02)
    assert squares.outfit.mean() == pytest.approx(1.0, abs=0.06)


def test_a_perfect_ladder_is_more_consistent_than_the_model_allows() -> None:
    squares = item_mean_squares(fit(ladder(12)).theta, ladder(12))
    assert squares.infit.max() < 0.4
    assert squares.outfit.max() < 0.15


def test_the_judge_who_tosses_coins_stands_out() -> None:
    rng = np.random.default_rng(5)
    first = rng.integers(0, 20, 3_000)
    second = (first + rng.integers(1, 20, 3_000)) % 20
    judge = rng.integers(0, 3, 3_000)
    won = simulate(np.linspace(-3, 3, 20), first, second, rng)
    won = np.where(judge == 2, rng.random(3_000) < 0.5, won)
    net = outcome(first, second, won, 20)
    squares = group_mean_squares(fit(net).theta, net, judge, 3)
    # the coins flatten the scores, which makes the two good judges look more consistent than the model
    assert squares.infit[2] > 1.5
    assert squares.infit[:2].max() < 0.9


def test_counts_are_repeated_rows() -> None:
    theta = [1.0, -0.5, -0.5]
    counted = item_mean_squares(theta, Comparisons([0, 1], [1, 2], 3, counts=[3, 2]))
    repeated = item_mean_squares(theta, Comparisons([0, 0, 0, 1, 1], [1, 1, 1, 2, 2], 3))
    assert counted.infit == pytest.approx(repeated.infit)
    assert counted.outfit == pytest.approx(repeated.outfit)


def test_items_and_groups_without_comparisons_have_none() -> None:
    net = Comparisons([0], [1], 3)
    assert np.isnan(item_mean_squares([0, 0, 0], net).infit).tolist() == [False, False, True]
    assert np.isnan(group_mean_squares([0, 0, 0], net, [1], 2).outfit).tolist() == [True, False]


def test_an_upset_beyond_every_double_is_still_a_number() -> None:
    squares = item_mean_squares([-2000.0, 2000.0], Comparisons([0], [1], 2))
    assert np.isfinite(squares.outfit).all()


def test_what_does_not_fit_the_net_is_refused() -> None:
    net = Comparisons([0], [1], 2)
    with pytest.raises(CjPipelineError, match="2 items"):
        item_mean_squares([0.0], net)
    with pytest.raises(CjPipelineError, match="2 groups for 1 rows"):
        group_mean_squares([0.0, 0.0], net, [0, 0], 1)
    with pytest.raises(InvalidComparison, match="group 3 is outside"):
        group_mean_squares([0.0, 0.0], net, [3], 2)
