from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.engine.grades import posterior
from cj_pipeline.engine.grades.calibration import Calibration, calibrate
from cj_pipeline.engine.grades.posterior import Anchors
from cj_pipeline.engine.grades.scales import LEGACY, SCALES, SWEDISH
from cj_pipeline.foundation.errors import CjPipelineError

LETTERS = ["F", "E", "D", "D+", "C", "C+", "B", "A"]
SCORES = [-4.0, -2.5, -1.2, -0.4, 0.5, 1.2, 2.2, 3.4]


@st.composite
def calibrations(draw: st.DrawFn) -> Calibration:
    """Any anchors, their grades in any order against their scores."""
    scale = draw(st.sampled_from(list(SCALES.values())))
    grades = draw(st.lists(st.sampled_from(scale.grades), min_size=2, max_size=12))
    number = st.floats(-8, 8, allow_nan=False)
    scores = draw(st.lists(number, min_size=len(grades), max_size=len(grades)))
    errors = draw(st.lists(st.floats(0, 3), min_size=len(grades), max_size=len(grades)))
    return calibrate(scale, grades, scores, errors)


def test_precise_anchors_of_every_grade_put_the_means_at_their_scores() -> None:
    found = calibrate(SWEDISH, LETTERS * 6, SCORES * 6, [0.1] * 48)
    assert found.centers == pytest.approx(SCORES, abs=0.1)
    assert found.center_errors.max() < 0.1
    # six anchors a grade with the same score: the spread within a grade is next to nothing
    assert found.spreads.mean() < 0.1


def test_a_grade_without_anchors_lies_between_its_neighbours_and_is_less_certain() -> None:
    without_c = [place for place, grade in enumerate(LETTERS) if grade != "C"]
    found = calibrate(SWEDISH, [LETTERS[p] for p in without_c], [SCORES[p] for p in without_c], [0.3] * 7)
    complete = calibrate(SWEDISH, LETTERS, SCORES, [0.3] * 8)
    assert found.centers[3] < found.centers[4] < found.centers[5]
    assert found.center_errors[4] > complete.center_errors[4]


def test_anchors_that_contradict_their_grades_leave_the_means_rising_and_every_grade_open() -> None:
    found = calibrate(SWEDISH, LETTERS, SCORES[::-1], [0.3] * 8)
    assert np.all(np.diff(found.means, axis=1) > 0)
    (chances,) = found.probabilities([0.0], [0.3])
    # next to nothing is learnt: the priors come back
    assert chances == pytest.approx(SWEDISH.priors, abs=0.1)


def test_an_essay_nothing_is_known_of_has_the_priors() -> None:
    found = calibrate(SWEDISH, LETTERS, SCORES, [0.5] * 8)
    (chances,) = found.probabilities([1.0], [1e6])
    assert chances == pytest.approx(SWEDISH.priors, abs=1e-6)


def test_priors_decide_between_grades_that_a_score_leaves_open() -> None:
    # the same anchors on the same steps; on the Swedish scale the lowest is 2 % of essays, on the other 11 %
    swedish = calibrate(SWEDISH, LETTERS, SCORES, [0.5] * 8).probabilities([-3.4], [0.8])
    legacy = calibrate(LEGACY, LEGACY.grades[:8], SCORES, [0.5] * 8).probabilities([-3.4], [0.8])
    assert swedish[0, 0] < 0.3 < legacy[0, 0]


def test_more_anchors_make_an_essay_more_certain() -> None:
    few = calibrate(SWEDISH, ["E", "C", "A"], [-2.5, 0.5, 3.4], [0.5] * 3).probabilities([0.5], [0.3])
    many = calibrate(SWEDISH, LETTERS * 3, SCORES * 3, [0.5] * 24).probabilities([0.5], [0.3])
    assert few.max() < many.max()


def test_what_the_anchors_leave_open_is_averaged_over_and_makes_grades_less_certain() -> None:
    found = calibrate(SWEDISH, ["E", "C", "A"], [-2.5, 0.5, 3.4], [0.5] * 3)
    score, error = [-2.5, 0.5, 3.4], [0.3] * 3
    singly = [
        Calibration(SWEDISH, found.means[draw : draw + 1], found.spreads[draw : draw + 1]).probabilities(score, error)
        for draw in range(found.spreads.shape[0])
    ]
    stated = found.probabilities(score, error)
    assert stated == pytest.approx(np.mean(singly, axis=0))
    # settled for the mean of every unknown, the same anchors would claim more
    settled = Calibration(SWEDISH, found.centers[None], found.spreads.mean(keepdims=True)).probabilities(score, error)
    entropy = [-(table * np.log(table + 1e-300)).sum(axis=1) for table in (stated, settled)]
    assert np.all(entropy[0] > entropy[1] + 0.02)


def test_the_gradient_of_the_posterior_is_its_slope() -> None:
    model = posterior._Model(SWEDISH, Anchors.of(SWEDISH, LETTERS, SCORES, [0.5] * 8))
    point = model.prior_mean + np.linspace(-0.3, 0.5, 10)
    ahead = np.array([model.log_posterior(point + 1e-5 * axis) for axis in np.eye(10)])
    behind = np.array([model.log_posterior(point - 1e-5 * axis) for axis in np.eye(10)])
    assert model.slope(point)[0] == pytest.approx((ahead - behind) / 2e-5, abs=1e-6)


def test_the_draws_are_of_the_posterior_and_not_of_its_normal_approximation() -> None:
    # against importance sampling of the same posterior from its prior, where three anchors leave that feasible
    anchors = Anchors.of(SWEDISH, ["E", "C", "A"], [-2.0, 0.0, 2.0], [1.0] * 3)
    model = posterior._Model(SWEDISH, anchors)
    normal = np.random.default_rng(1).standard_normal((200_000, 10))
    drawn = model.prior_mean + normal * model.prior_sd
    log_weight = model.log_posterior(drawn) + 0.5 * (normal**2).sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    assert 1 / (weight**2).sum() > 2_000
    means, spreads = posterior.draw_posterior(SWEDISH, anchors)
    # 256 independent walks: a mean is known to a sixteenth of its spread, twice that is allowed
    centers, expected = means.mean(axis=0), weight @ model.means(drawn)
    assert np.abs(centers - expected) == pytest.approx(np.zeros(8), abs=0.3)
    assert np.log(spreads).mean() == pytest.approx(weight @ np.log(model.spread(drawn)), abs=0.15)
    deviation = np.sqrt(weight @ (model.means(drawn) - expected) ** 2)
    assert means.std(axis=0) == pytest.approx(deviation, rel=0.2)


@given(calibrations(), st.floats(0, 3))
@settings(max_examples=15, deadline=None)
def test_boundaries_rise_and_balance_the_grades_on_both_sides(found: Calibration, error: float) -> None:
    cuts = found.cuts(error)
    assert np.all(np.diff(cuts.boundaries) > 0)
    assert cuts.floor < cuts.boundaries[0]
    table = found.probabilities(cuts.boundaries, np.full(cuts.boundaries.shape, error))
    below = [row[: place + 1].sum() for place, row in enumerate(table)]
    assert below == pytest.approx([0.5] * len(below), abs=1e-4)


@given(calibrations(), st.floats(0, 3), st.lists(st.floats(-15, 15), min_size=2, max_size=8))
@settings(max_examples=15, deadline=None)
def test_a_higher_score_makes_lower_grades_less_likely(found: Calibration, error: float, scores: list[float]) -> None:
    table = found.probabilities(sorted(scores), [error] * len(scores))
    assert table.sum(axis=1) == pytest.approx(np.ones(len(scores)))
    assert np.all(np.diff(np.cumsum(table, axis=1), axis=0) <= 1e-12)


def test_the_order_of_the_anchors_changes_nothing_at_all() -> None:
    forward = calibrate(SWEDISH, LETTERS, SCORES, [0.3, 0.4] * 4)
    backward = calibrate(SWEDISH, LETTERS[::-1], SCORES[::-1], [0.4, 0.3] * 4)
    assert np.array_equal(forward.means, backward.means)
    assert np.array_equal(forward.spreads, backward.spreads)


@pytest.mark.parametrize(
    ("grades", "scores", "errors", "message"),
    [
        (["E", "G"], [0, 1], [1, 1], "'G' is not a grade of the scale swedish_8_anchor"),
        (["E"], [0], [1], "two anchors or more"),
        (["E", "C"], [0, np.inf], [1, 1], "finite"),
        (["E", "C"], [0, 1], [1, np.inf], "finite"),
        (["E", "C"], [0, 1], [1], "2 anchors"),
    ],
)
def test_anchors_that_say_nothing_are_refused(grades, scores, errors, message) -> None:
    with pytest.raises(CjPipelineError, match=message):
        calibrate(SWEDISH, grades, scores, errors)


def test_essays_without_a_finite_score_and_error_have_no_probabilities() -> None:
    found = calibrate(SWEDISH, LETTERS, SCORES, [0.5] * 8)
    with pytest.raises(CjPipelineError, match="finite"):
        found.probabilities([0.0], [np.inf])
    assert found.probabilities([], []).shape == (0, 8)
