from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.bt.comparisons import InvalidComparison
from cj_pipeline.bt.simulate import simulate
from cj_pipeline.foundation.errors import CjPipelineError

ROWS = 40_000  # a share of .7 is then known to .0023


@pytest.mark.parametrize(
    ("options", "share"),
    [
        ({}, 0.7311),  # sigmoid(1)
        ({"position_effect": 0.5}, 0.8176),  # sigmoid(1.5)
        ({"temperature": 2.0}, 0.6225),  # sigmoid(0.5)
        ({"position_effect": -1.0, "temperature": 3.0}, 0.5),
    ],
)
def test_the_first_item_wins_as_often_as_the_model_says(options, share) -> None:
    first, second = np.zeros(ROWS, dtype=int), np.ones(ROWS, dtype=int)
    won = simulate([1.0, 0.0], first, second, np.random.default_rng(0), **options)
    assert won.dtype == np.bool_
    assert won.mean() == pytest.approx(share, abs=0.009)  # 4 standard deviations at .5


def test_the_generator_passed_in_decides() -> None:
    theta, first, second = np.zeros(10), np.repeat(np.arange(5), 20), np.repeat(np.arange(5, 10), 20)
    draws = [simulate(theta, first, second, np.random.default_rng(seed)).tolist() for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]


def test_scores_very_far_apart_leave_no_doubt_and_no_warning() -> None:
    assert simulate([1e6, -1e6], [0, 1], [1, 0], np.random.default_rng(0)).tolist() == [True, False]


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": np.nan}, {"position_effect": np.inf}])
def test_settings_without_meaning_are_refused(options) -> None:
    with pytest.raises(CjPipelineError, match="temperature"):
        simulate([0.0, 0.0], [0], [1], np.random.default_rng(0), **options)


def test_pairs_outside_the_net_are_refused() -> None:
    with pytest.raises(InvalidComparison, match="second item 2 is outside"):
        simulate([0.0, 0.0], [0], [2], np.random.default_rng(0))
    with pytest.raises(CjPipelineError, match="2 first items but 1"):
        simulate([0.0, 0.0], [0, 1], [1], np.random.default_rng(0))
    with pytest.raises(CjPipelineError, match="finite score"):
        simulate([0.0, np.nan], [0], [1], np.random.default_rng(0))
