"""What a projection claims, held against cohorts whose grades are known. 12 batches of 24 students of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from cj_pipeline.engine.grades.projection import GradeContext, project
from cj_pipeline.engine.grades.scales import LEGACY, SWEDISH, GradeScale
from tests.engine.cohorts import cohort

BATCHES = 12
STUDENTS = 24
EDGES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0001]


@dataclass(frozen=True)
class Judged:
    """Per stated probability whether it was of the true grade; per student how far off the grade and its range were."""

    stated: np.ndarray
    true: np.ndarray
    steps_off: np.ndarray
    covered: np.ndarray
    confidence: np.ndarray

    @property
    def exact(self) -> float:
        return float((self.steps_off == 0).mean())

    def table(self) -> list[tuple[float, float, int]]:
        """(mean probability stated, share that was right, how many), for each tenth or so of the probabilities."""
        bins = np.digitize(self.stated, EDGES)
        return [
            (float(self.stated[bins == b].mean()), float(self.true[bins == b].mean()), int((bins == b).sum()))
            for b in np.unique(bins)
        ]


@cache
def judged(scale: GradeScale, slope: float, rounds: int, marker_noise: float) -> Judged:
    stated, true, off, covered, sure = [], [], [], [], []
    for seed in range(BATCHES):
        made = cohort(scale, seed, students=STUDENTS, rounds=rounds, slope=slope, marker_noise=marker_noise)
        found = project(made.scored(), GradeContext(scale.name))
        assert len(found.grades) == STUDENTS
        for grade in found.grades:
            truth = scale.grades.index(made.truth[grade.essay_id])
            stated += list(grade.probabilities.values())
            true += [place == truth for place in range(len(scale.grades))]
            off.append(abs(scale.grades.index(grade.anchor_grade) - truth))
            lowest, highest = (scale.grades.index(end) for end in grade.likely_grades)
            covered.append(lowest <= truth <= highest)
            sure.append(grade.confidence.score)
    return Judged(*(np.array(values) for values in (stated, true, off, covered, sure)))


# Scale, slope, rounds, marker noise. Below each what was measured: exact grade, within one step, within the 90 % range;
# probability stated / share true, by bins of at least 20.
COHORTS = [
    pytest.param(SWEDISH, 2.0, 10, 0.5, id="swedish, 10 comparisons an essay, markers correlate .9"),
    # .34 .82 .98;  .03/.02  .15/.11  .25/.28  .33/.37
    pytest.param(SWEDISH, 3.0, 20, 0.3, id="swedish, 20 comparisons an essay, markers correlate .96"),
    # .51 .95 .99;  .02/.01  .15/.10  .25/.24  .35/.41  .44/.54  .54/.46
    pytest.param(LEGACY, 3.0, 20, 0.3, id="legacy, 20 comparisons an essay, markers correlate .96"),
    # .40 .80 .99;  .02/.02  .15/.14  .25/.26  .34/.35  .45/.54  .55/.71  .68/.73
]


@pytest.mark.parametrize(("scale", "slope", "rounds", "noise"), COHORTS)
def test_of_what_is_stated_with_a_probability_that_share_is_true(scale, slope, rounds, noise) -> None:
    found = judged(scale, slope, rounds, noise)
    for stated, share, count in found.table():
        # 0.07 for the model, which is not true of these cohorts, and three standard errors for their size
        assert abs(stated - share) < 0.07 + 3 * np.sqrt(stated * (1 - stated) / count)
    assert len(found.table()) >= 4


@pytest.mark.parametrize(("scale", "slope", "rounds", "noise"), COHORTS)
def test_the_likely_range_holds_the_true_grade_as_often_as_it_says(scale, slope, rounds, noise) -> None:
    # grades are steps, so the range of 90 % holds more than that, and not everything
    found = judged(scale, slope, rounds, noise)
    assert 0.90 <= found.covered.mean() < 1.0


@pytest.mark.parametrize(
    ("scale", "slope", "rounds", "noise", "exact", "near"),
    [(SWEDISH, 2.0, 10, 0.5, 0.28, 0.75), (SWEDISH, 3.0, 20, 0.3, 0.40, 0.90), (LEGACY, 3.0, 20, 0.3, 0.33, 0.75)],
    ids=["noisy", "swedish", "legacy"],
)
def test_grades_are_right_far_more_often_than_the_commonest_grade_would_be(
    scale, slope, rounds, noise, exact, near
) -> None:
    found = judged(scale, slope, rounds, noise)
    assert found.exact > exact > max(scale.priors)
    assert (found.steps_off <= 1).mean() > near


def test_the_more_confident_half_is_right_more_often() -> None:
    found = judged(LEGACY, 3.0, 20, 0.3)
    middle = np.median(found.confidence)
    sure, unsure = found.steps_off[found.confidence > middle], found.steps_off[found.confidence <= middle]
    assert (sure == 0).mean() > (unsure == 0).mean() + 0.05


def test_students_of_every_grade_are_found_among_them() -> None:
    # 192 students of nine equally common grades: each is given to somebody, lowest and highest included
    made = [cohort(LEGACY, seed, students=STUDENTS, rounds=20, slope=3.0, marker_noise=0.3) for seed in range(8)]
    given = {grade.anchor_grade for one in made for grade in project(one.scored(), GradeContext(LEGACY.name)).grades}
    assert given == set(LEGACY.grades)
