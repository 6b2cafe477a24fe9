from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.bt.fit import fit
from cj_pipeline.bt.reliability import scale_separation
from cj_pipeline.foundation.errors import CjPipelineError
from tests.bt.nets import outcome
from tests.bt.simulate import simulate


def test_three_scores_with_known_errors_have_the_reliability_of_the_definition() -> None:
    # variance of -2, 0, 2 is 4; errors of 1: (4 - 1) / 4, and sqrt(3) true standard deviations an error
    found = scale_separation([-2, 0, 2], [1, 1, 1])
    assert found is not None
    assert (found.reliability, found.separation) == (0.75, pytest.approx(3**0.5))
    assert (found.observed_variance, found.error_variance, found.n_items) == (4.0, 1.0, 3)


def test_scores_closer_together_than_their_errors_have_no_reliability() -> None:
    found = scale_separation([0.1, -0.1, 0.0], [1, 1, 1])
    assert found is not None
    assert (found.reliability, found.separation) == (0.0, 0.0)


def test_items_that_nothing_is_known_of_are_left_out() -> None:
    found = scale_separation([-2, 0, 2, 0], [1, 1, 1, np.inf])
    assert found is not None
    assert (found.reliability, found.n_items) == (0.75, 3)


@pytest.mark.parametrize(("theta", "errors"), [([], []), ([0], [1]), ([0, 1], [1, np.inf])])
def test_fewer_than_two_known_items_have_none(theta, errors) -> None:
    assert scale_separation(theta, errors) is None


def test_it_is_the_squared_correlation_with_the_truth() -> None:
    rng = np.random.default_rng(11)
    theta = rng.normal(0, 1.5, 150)
    first = rng.integers(0, 150, 1_500)
    second = (first + rng.integers(1, 150, 1_500)) % 150
    result = fit(outcome(first, second, simulate(theta, first, second, rng), 150), estimator="map")
    found = scale_separation(result.theta, result.standard_error)
    assert found is not None
    # 20 random comparisons an item
    assert found.reliability == pytest.approx(np.corrcoef(theta, result.theta)[0, 1] ** 2, abs=0.04)


def test_what_has_no_answer_is_refused() -> None:
    with pytest.raises(CjPipelineError, match="standard errors for"):
        scale_separation([0, 1], [1])
    with pytest.raises(CjPipelineError, match="errors of 0"):
        scale_separation([0, 1], [0, 0])
