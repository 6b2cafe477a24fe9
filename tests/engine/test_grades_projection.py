from __future__ import annotations

import json
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.engine.grades.calibration import Cuts
from cj_pipeline.engine.grades.from_scores import scored_essays
from cj_pipeline.engine.grades.projection import (
    ContextSource,
    GradeContext,
    Projection,
    ScoredEssay,
    Unavailable,
    Ungraded,
    grade_of,
    project,
)
from cj_pipeline.engine.grades.scales import LEGACY, NATIONAL, SCALES, SWEDISH
from cj_pipeline.engine.grades.wire import calculation_metadata, grade_row, summary
from cj_pipeline.engine.scoring.diagnostics import Judgement, diagnose
from cj_pipeline.engine.scoring.rankings import BatchEssay
from tests.engine.cohorts import perfect_ladder

SWEDISH_CONTEXT = GradeContext("swedish_8_anchor")
LADDER = dict(zip(SWEDISH.grades, [-4.0, -2.5, -1.2, -0.4, 0.5, 1.2, 2.2, 3.4], strict=True))


def anchor(grade: str | None, score: float | None, error: float = 0.4, *, name: str = "", part: int = 0) -> ScoredEssay:
    return ScoredEssay(name or f"anchor-{grade}", score, error, part, is_anchor=True, known_grade=grade)


def student(name: str, score: float | None, error: float = 0.5, part: int = 0) -> ScoredEssay:
    return ScoredEssay(name, score, error, part)


ANCHORS = [anchor(grade, score) for grade, score in LADDER.items()]


def grades(projection: Projection) -> dict[str, str]:
    return {grade.essay_id: grade.grade for grade in projection.grades}


def test_students_get_the_grade_of_the_anchors_beside_them() -> None:
    found = project([*ANCHORS, student("strong", 3.6), student("weak", -2.4), student("middle", 0.4)], SWEDISH_CONTEXT)
    assert {grade.essay_id: grade.anchor_grade for grade in found.grades} == {"strong": "A", "weak": "E", "middle": "C"}
    strong = found.grades[1]
    assert strong.essay_id == "strong"
    assert strong.probabilities["A"] > 0.5 > strong.probabilities["B"] > 0.05
    assert strong.prior == 0.05
    assert strong.likely_grades == ("B", "A")


def test_an_unsure_score_has_wider_probabilities_and_less_confidence_but_the_same_boundaries() -> None:
    found = project([*ANCHORS, student("a", 2.2, 0.2), student("b", 2.2, 2.0), student("c", 2.2, 0.4)], SWEDISH_CONTEXT)
    sure, unsure, _ = found.grades
    assert sure.grade == unsure.grade
    assert sure.confidence.score > unsure.confidence.score + 0.1
    assert SWEDISH.grades.index(unsure.likely_grades[0]) < SWEDISH.grades.index(sure.likely_grades[0])
    assert found.cuts is not None
    assert found.cuts.standard_error == 0.4


@pytest.mark.parametrize(
    ("essays", "reason"),
    [
        ([], Unavailable.NO_SCORES),
        ([student("s", None), anchor("A", None), anchor("B", None), anchor("C", None)], Unavailable.NO_SCORES),
        ([student("s", 0.0)], Unavailable.NO_GRADED_ANCHORS),
        ([student("s", 0.0), anchor(None, 1.0, name="x")], Unavailable.NO_GRADED_ANCHORS),
        ([student("s", 0.0), anchor("A", 1), anchor("E", -1), anchor("A", 2, name="x")], Unavailable.TOO_FEW_GRADES),
    ],
)  # fmt: skip
def test_a_batch_that_cannot_be_graded_says_why_and_has_empty_maps(essays, reason) -> None:
    found = project(essays, SWEDISH_CONTEXT)
    assert (found.available, found.unavailable, found.grades) == (False, reason, ())
    assert summary(found, essays) == {
        "projections_available": False,
        "primary_grades": {},
        "confidence_labels": {},
        "confidence_scores": {},
        "grade_probabilities": {},
        "calibration_info": {},
        "bt_stats": {},
    }


def test_three_distinct_grades_are_enough() -> None:
    found = project([anchor("A", 3.0), anchor("C", 0.0), anchor("E", -2.0), student("s", 0.1)], SWEDISH_CONTEXT)
    assert grades(found) == {"s": "C"}


def test_an_anchor_that_cannot_calibrate_is_named_with_its_reason() -> None:
    odd = [
        anchor(None, 1.0, name="ungraded"),
        anchor("A-", 1.0, name="not-on-scale"),
        anchor("A", 0.0, inf, name="isolated"),
        anchor("A", -9.0, name="elsewhere", part=3),
    ]
    found = project([*ANCHORS, *odd, student("s", 0.4)], SWEDISH_CONTEXT)
    assert len(found.anchor_grades) == 8
    assert [warning.split(" does not")[0] for warning in found.warnings] == [
        "anchor isolated",
        "anchor not-on-scale",
        "anchor ungraded",
        "anchor elsewhere",
    ]
    alone = project([*ANCHORS, student("s", 0.4)], SWEDISH_CONTEXT)
    assert found.grades == alone.grades


def test_a_student_whom_nothing_links_to_the_anchors_has_no_grade_and_a_reason() -> None:
    batch = [*ANCHORS, student("here", 0.4), student("elsewhere", 0.4, part=1), student("isolated", 0.0, inf, part=2)]
    found = project([*batch, student("unscored", None)], SWEDISH_CONTEXT)
    assert list(grades(found)) == ["here"]
    assert found.ungraded == {
        "elsewhere": Ungraded.NOT_LINKED,
        "isolated": Ungraded.NOT_LINKED,
        "unscored": Ungraded.NO_SCORE,
    }


def test_anchors_whose_scores_fall_with_their_grades_are_warned_of() -> None:
    upside_down = [replace(essay, score=-(essay.score or 0.0)) for essay in ANCHORS]
    found = project([*upside_down, student("s", 3.0, 0.2)], SWEDISH_CONTEXT)
    assert "the judge and the grades disagree" in found.warnings[0]
    assert found.grades[0].confidence.label == "LOW"


def test_an_unknown_scale_is_graded_as_swedish_and_said_so() -> None:
    found = project([*ANCHORS, student("s", 0.4)], GradeContext("unheard_of"))
    assert found.scale is SWEDISH
    assert "unheard_of" in found.warnings[0]


def test_the_batchs_own_students_do_not_move_the_calibration() -> None:
    one = project([*ANCHORS, student("s", 0.4)], SWEDISH_CONTEXT)
    many = project([*ANCHORS, student("s", 0.4), *(student(f"t{n}", 6.0) for n in range(30))], SWEDISH_CONTEXT)
    assert many.grades[0] == one.grades[0]


CUTS = Cuts(standard_error=0.5, boundaries=np.arange(7.0), floor=-3.0)


@pytest.mark.parametrize(
    ("score", "grade"),
    [
        (-50, "F"), (0.0, "E-"), (0.24, "E-"), (0.25, "E"), (0.75, "E"), (0.76, "E+"), (1.0, "D-"), (1.3, "D"),
        (1.9, "D"), (2.0, "D+"), (2.99, "D+"), (3.1, "C-"), (3.9, "C"), (4.1, "C+"), (4.9, "C+"), (5.1, "B-"),
        (5.5, "B"), (5.9, "B+"), (6.0, "A"), (50, "A"),
    ],
)  # fmt: skip
def test_swedish_quarters_are_told_apart_where_the_scale_has_no_grade_of_that_name(score, grade) -> None:
    assert grade_of(score, SWEDISH, CUTS)[0] == grade


@pytest.mark.parametrize(("scale", "below"), [(LEGACY, "F"), (NATIONAL, "0")], ids=["legacy", "national"])
def test_far_below_the_lowest_grade_is_a_grade_of_its_own(scale, below) -> None:
    cuts = replace(CUTS, boundaries=np.arange(8.0))
    assert grade_of(-3.01, scale, cuts) == (below, scale.grades[0])
    assert grade_of(-3.0, scale, cuts) == (scale.grades[0], scale.grades[0])
    assert grade_of(7.5, scale, cuts) == (scale.grades[-1], scale.grades[-1])


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_every_grade_of_a_scale_can_be_reached(scale) -> None:
    # anchors of two grades tie, and one pair is the wrong way round: isotonic means would have merged them
    scores = np.linspace(-4, 4, len(scale.grades))
    scores[3] = scores[2]
    scores[[5, 6]] = scores[[6, 5]]
    anchors = [anchor(grade, float(score)) for grade, score in zip(scale.grades, scores, strict=True)]
    students = [student(f"s{n:04d}", float(score)) for n, score in enumerate(np.arange(-12, 9, 0.02))]
    found = project([*anchors, *students], GradeContext(scale.name))
    reachable = [grade for grade in scale.outcomes if grade != "A-"]  # A has no upper end, so no lowest quarter
    assert list(dict.fromkeys(grades(found).values())) == reachable


@given(
    st.sampled_from(list(SCALES)),
    st.lists(st.tuples(st.floats(-8, 8), st.floats(0.05, 4)), min_size=2, max_size=12),
    st.lists(st.floats(-5, 5), min_size=4, max_size=9),
)
@settings(max_examples=15, deadline=None)
def test_a_higher_score_never_has_a_lower_grade_however_unsure(name, measured, anchor_scores) -> None:
    scale = SCALES[name]
    anchors = [
        anchor(scale.grades[place % len(scale.grades)], score, name=f"anchor-{place}")
        for place, score in enumerate(anchor_scores)
    ]
    students = [student(f"s{n}", score, error) for n, (score, error) in enumerate(measured)]
    found = project([*anchors, *students], GradeContext(name))
    by_score = sorted(found.grades, key=lambda grade: grade.score)
    places = [scale.outcomes.index(grade.grade) for grade in by_score]
    assert len(places) == len(measured)
    assert places == sorted(places)


@given(st.permutations([*ANCHORS, *(student(f"s{n}", n / 3 - 2, 0.3 + n / 10) for n in range(8))]))
@settings(max_examples=8, deadline=None)
def test_the_order_of_the_essays_changes_nothing_at_all(shuffled) -> None:
    ordered = sorted(shuffled, key=lambda essay: essay.essay_id)
    expected = summary(project(ordered, SWEDISH_CONTEXT), ordered)
    assert summary(project(shuffled, SWEDISH_CONTEXT), shuffled) == expected


def test_a_batch_without_any_answer_is_unavailable_and_no_crash() -> None:
    essays = [BatchEssay("student"), BatchEssay("anchor", is_anchor=True, metadata={"anchor_grade": "A"})]
    scored = scored_essays(essays, diagnose(["student", "anchor"], []))
    assert project(scored, SWEDISH_CONTEXT).unavailable is Unavailable.NO_SCORES


def test_only_the_flag_makes_an_anchor_and_only_anchors_calibrate() -> None:
    names = ["ANCHOR_1", "a", "b", "c", "d"]
    metadata = dict(zip(names, ["A", "A", "C", "E", "F"], strict=True))
    essays = [BatchEssay(name, name in "abc", metadata={"known_grade": metadata[name]}) for name in names]
    found = project(scored_essays(essays, diagnose(names, perfect_ladder(names))), SWEDISH_CONTEXT)
    assert found.anchor_grades == {"a": "A", "b": "C", "c": "E"}
    assert list(grades(found)) == ["ANCHOR_1", "d"]


def test_an_essay_in_another_part_of_the_net_does_not_make_the_others_uncertain() -> None:
    names = list("abcs")
    answers = perfect_ladder(names)
    stray = [Judgement("y", "z", "y"), Judgement("z", "y", "z")]
    metadata = {"a": "A", "b": "C", "c": "E"}
    essays = [BatchEssay(n, n in metadata, metadata={"known_grade": metadata.get(n)}) for n in [*names, "y", "z"]]
    found = project(scored_essays(essays, diagnose([*names, "y", "z"], answers + stray)), SWEDISH_CONTEXT)
    assert list(grades(found)) == ["s"]
    assert found.ungraded == {"y": Ungraded.NOT_LINKED, "z": Ungraded.NOT_LINKED}


def test_the_summary_has_productions_keys_and_no_infinity() -> None:
    essays = [*ANCHORS, student("s1", 0.4), student("s2", 3.9, 2.7)]
    found = project(essays, GradeContext("swedish_8_anchor", ContextSource.ASSIGNMENT))
    told = json.loads(json.dumps(summary(found, essays), allow_nan=False))
    assert list(told) == [
        "projections_available", "primary_grades", "confidence_labels", "confidence_scores", "grade_probabilities",
        "calibration_info", "bt_stats",
    ]  # fmt: skip
    info = told["calibration_info"]
    assert list(info) == [
        "grade_centers", "grade_boundaries", "context_source", "grade_scale", "anchor_count", "anchor_grades",
        "bt_se_summary",
    ]  # fmt: skip
    assert (info["context_source"], info["grade_scale"], info["anchor_count"]) == ("assignment", "swedish_8_anchor", 8)
    assert info["anchor_grades"]["anchor-A"] == "A"
    assert info["grade_boundaries"]["F"][0] == -1e10
    assert info["grade_boundaries"]["A"][1] == 1e10
    assert [low for low, _ in info["grade_boundaries"].values()][1:] == [
        high for _, high in info["grade_boundaries"].values()
    ][:-1]
    assert info["bt_se_summary"]["students"] == {"mean_se": 1.25, "max_se": 2.0, "min_se": 0.5, "item_count": 2}
    assert info["bt_se_summary"]["anchors"]["item_count"] == 8
    assert info["bt_se_summary"]["all"]["item_count"] == 10
    assert told["bt_stats"]["s2"] == {"bt_mean": 3.9, "bt_se": 2.0}
    assert set(told["primary_grades"]) == {"s1", "s2"}


def test_a_stored_grade_has_productions_metadata() -> None:
    found = project([*ANCHORS, student("s", 4.0, 0.3)], SWEDISH_CONTEXT)
    stored = json.loads(json.dumps(calculation_metadata(found, found.grades[0]), allow_nan=False))
    assert list(stored) == [
        "bt_mean", "bt_se", "grade_probabilities", "grade_centers", "grade_boundaries", "context_source",
        "calibration_method", "primary_anchor_grade", "grade_scale",
    ]  # fmt: skip
    assert (stored["calibration_method"], stored["primary_anchor_grade"]) == ("gaussian_mixture", "A")
    assert sum(stored["grade_probabilities"].values()) == pytest.approx(1.0)
    row = grade_row(found, found.grades[0])
    assert (row["primary_grade"], row["population_prior"], row["normalized_score"]) == ("A", 0.05, 1.0)
    assert row["assessment_method"] == "cj_assessment"


def test_a_numeric_grade_has_no_normalized_score() -> None:
    anchors = [anchor(grade, float(grade) - 5) for grade in NATIONAL.grades]
    found = project([*anchors, student("s", 0.0)], GradeContext(NATIONAL.name))
    assert grade_row(found, found.grades[0])["normalized_score"] is None
