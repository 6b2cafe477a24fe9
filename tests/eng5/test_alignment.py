"""This module tests the alignment of runs with known grades, against published runs and by what cannot be otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cj_pipeline.eng5.alignment.case import case_of_record, graded_by_files, has_order
from cj_pipeline.eng5.alignment.document import Side, report_of
from cj_pipeline.eng5.alignment.ladder import ladder_png
from cj_pipeline.eng5.alignment.markdown import markdown_of
from cj_pipeline.eng5.alignment.page import html_of
from cj_pipeline.eng5.alignment.result import AlignmentResult, evaluate
from cj_pipeline.eng5.alignment.targets import targets
from tests.eng5.answers import LOWER5, answer, batch_108, case_of, graded, in_order
from tests.sides import ANCHORS, GENERIC, LADDER, recorded, scenario
from tests.sides import LOWER5 as LOWER5_TRACE


def result(scenario_id: str) -> AlignmentResult:
    return evaluate(case_of_record(scenario(scenario_id), recorded(scenario_id)), repeats=0)


@pytest.mark.parametrize(
    ("scenario_id", "tau", "inversions", "winless"),
    # Published: 1.0 and none for LOWER5 (147) and for run a259881c, whose last anchors win nothing.
    # The other was drawn: 63 pairs in order, two not, and one of equal scores.
    [(LOWER5_TRACE, 1.0, 0, 1), (LADDER, 1.0, 0, 1), (ANCHORS, 61 / 66, 3, 0)],
)
def test_the_recorded_runs_align_as_published(scenario_id: str, tau: float, inversions: int, winless: int) -> None:
    found = result(scenario_id)
    assert found.tau_a is not None
    assert (found.tau_a.value, len(found.inversions), len(found.zero_win)) == (pytest.approx(tau), inversions, winless)


@pytest.mark.parametrize(
    ("order", "inversion", "winless"),
    [
        # Batch 148 and batch 149: ten comparisons in the published order, which leaves no outcome open.
        (["vt_005_D-", "vt_004_E+", "vt_002_F+", "vt_003_E-", "vt_001_F+"], ("vt_003_E-", "vt_002_F+"), "vt_001_F+"),
        (["vt_005_D-", "vt_004_E+", "vt_001_F+", "vt_003_E-", "vt_002_F+"], ("vt_003_E-", "vt_001_F+"), "vt_002_F+"),
    ],
)
def test_the_other_lower5_runs_align_as_published(order: list[str], inversion: tuple[str, str], winless: str) -> None:
    found = evaluate(case_of(in_order(order), graded(LOWER5)), repeats=0)
    assert found.tau_a is not None
    assert found.tau_a.value == pytest.approx(0.8)
    assert [(one.higher, one.lower) for one in found.inversions] == [inversion]
    assert found.zero_win == (winless,)


def test_batch_108_aligns_as_published() -> None:
    found = evaluate(batch_108())
    assert found.judged == 200
    assert found.tau_a is not None
    assert found.tau_a.value == pytest.approx(54 / 66)
    assert {(one.higher, one.lower) for one in found.inversions} == {
        ("vt_011_A", "vt_010_B"),
        ("vt_011_A", "vt_009_B"),
        ("vt_005_D-", "vt_004_E+"),
        ("vt_003_E-", "vt_001_F+"),
        ("vt_003_E-", "vt_002_F+"),
    }
    assert found.zero_win == ("vt_003_E-",)
    # Two of the five are A against B, and the published count of regressions is 0.
    assert (found.ab_inversions, found.ab_regression) == (2, 0)
    tau, *_ = targets(found)
    # The run misses .90, and so does not say whether the judge does.
    assert (tau.met, tau.settled) == (False, False)
    assert found.tau_a.interval is not None
    assert found.tau_a.interval.low < 0.82 < 0.90 < found.tau_a.interval.high
    assert found.tau_a.repeat is not None
    assert found.tau_a.repeat.low < 0.82 < found.tau_a.repeat.high


def test_unknown_grades_never_make_a_tau() -> None:
    order = ["a", "b", "c"]
    for grades in ({}, {"a": "A"}, {"a": "B", "b": "B", "c": "B"}):
        found = evaluate(case_of(in_order(order), grades), repeats=0)
        assert (found.tau_a, found.tau_b) == (None, None)
        tau, *_ = targets(found)
        assert (tau.value, tau.met) == ("not defined", False)


def test_a_run_without_an_answer_has_no_tau_and_no_winless_anchor() -> None:
    found = evaluate(case_of([], graded(LOWER5)))
    assert (found.tau_a, found.zero_win, len(found.never_compared)) == (None, (), 5)


def test_an_ungraded_net_has_no_order() -> None:
    assert not has_order(case_of_record(scenario(GENERIC), recorded(GENERIC)))


def test_tau_b_takes_ties_for_what_they_are() -> None:
    found = evaluate(case_of(in_order(["a", "b", "c"]), {"a": "A", "b": "A", "c": "B"}), repeats=0)
    assert found.tau_a is not None
    assert found.tau_b is not None
    assert (found.tau_a.value, found.tau_b.value) == (1.0, pytest.approx(2 / 6**0.5))


def test_equal_scores_of_different_grades_neither_agree_nor_disagree() -> None:
    grades = {"a": "A", "b": "B", "c": "C"}
    # Each won once and lost once.
    circle = [("a", "b"), ("b", "c"), ("c", "a")]
    found = evaluate(case_of(circle, grades), repeats=0)
    assert found.tau_a is not None
    assert found.tau_b is not None
    assert (found.tau_a.value, found.tau_b.value) == (0.0, 0.0)
    # One answer about six anchors: the list of anchors, which has the order of their grades, is no agreement.
    order = [f"{grade}{number}" for number, grade in enumerate("ABCDEF")]
    found = evaluate(case_of([(order[5], order[0])], {essay: essay[0] for essay in order}), repeats=0)
    assert found.tau_a is not None
    assert found.tau_a.interval is not None
    assert found.tau_a.value < 0
    assert found.tau_a.interval.low <= found.tau_a.value <= found.tau_a.interval.high


def test_an_inversion_that_one_of_many_comparisons_shows_is_luck() -> None:
    grades = {"a": "A", "b": "B"}
    once = evaluate(case_of([("a", "b")] * 20 + [("b", "a")], grades), repeats=0)
    always = evaluate(case_of([("b", "a")] * 20 + [("a", "b")], grades), repeats=0)
    (lucky,), (meant,) = once.inversions, always.inversions
    assert (lucky.meetings, lucky.won) == (21, 1)
    assert lucky.luck > 0.95
    assert meant.luck < 0.05


def test_many_comparisons_settle_a_target() -> None:
    order = [f"{grade}{number}" for number, grade in enumerate("ABCDEF")]
    grades = {essay: essay[0] for essay in order}
    tau, *_ = targets(evaluate(case_of(in_order(order) * 30, grades), repeats=0))
    assert (tau.met, tau.settled) == (True, True)
    tau, *_ = targets(evaluate(case_of(in_order(order[::-1]) * 30, grades), repeats=0))
    assert (tau.met, tau.settled) == (False, True)


def test_a_b_regression_counts_what_goes_beyond_the_baseline() -> None:
    grades = {"a1": "A", "a2": "A-", "b1": "B", "b2": "B+", "c": "C"}
    outcomes = [(b, a) for a in ("a1", "a2") for b in ("b1", "b2")] + [("c", "b1")]
    found = evaluate(case_of(outcomes, grades), repeats=0)
    assert (len(found.inversions), found.ab_inversions, found.ab_regression) == (5, 4, 2)


def test_equal_cases_give_equal_reports() -> None:
    case = case_of(in_order(list(LOWER5)), graded(LOWER5))
    one, other = evaluate(case), evaluate(case)
    assert one == other
    assert ladder_png([Side(case, one)]) == ladder_png([Side(case, other)])


def test_a_report_shows_both_sides_and_every_comparison_in_full() -> None:
    case = case_of(in_order(list(LOWER5)), graded(LOWER5))
    long = "word " * 20
    verbose = case.callbacks[0].model_copy(update={"justification": long.strip()})
    case = replace(
        case, callbacks=(verbose, *case.callbacks[1:]), prompts={"system prompt": None, "rubric": "Be fair."}
    )
    sides = [Side(case, evaluate(case, repeats=0), name) for name in ("recorded", "live")]
    short, full = (markdown_of(report_of(sides, full=full)) for full in (False, True))
    assert "recorded score (logits)" in short
    assert "live win rate" in short
    assert "Every comparison, live" in full
    assert long.strip() in full
    assert long.strip() not in short
    assert "(default)" in short
    assert "    Be fair." in short
    assert "does not tell whether the judge meets it" in short


@pytest.mark.parametrize("mocked", [True, False])
def test_a_report_says_that_a_mock_answered(mocked: bool) -> None:
    case = replace(case_of(in_order(list(LOWER5)), graded(LOWER5)), mocked=mocked)
    text = markdown_of(report_of([Side(case, evaluate(case, repeats=0))], full=False))
    assert ("a mock answered" in text) is mocked
    assert (" a mock, as " in text) is mocked


def test_what_a_judge_says_is_never_markup() -> None:
    verbose = answer("a", "b", "b").model_copy(update={"justification": "<script>alert(1)</script> | **x**"})
    case = replace(case_of([], {"a": "A", "b": "B"}), callbacks=(verbose,))
    sides = [Side(case, evaluate(case, repeats=0))]
    page = html_of(report_of(sides, full=True), b"png")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "\\<script\\>" in markdown_of(report_of(sides, full=True))


def test_grades_of_a_batch_come_from_the_names_of_files(tmp_path: Path) -> None:
    for name in ("first one_A", "second_B", "third"):
        (tmp_path / f"{name}.txt").write_text("x")
    case = case_of([("student::FIRST_ONE_A", "SECOND_B"), ("SECOND_B", "THIRD")], {})
    found = graded_by_files(case, tmp_path)
    assert found.grades == {"student::FIRST_ONE_A": "A", "SECOND_B": "B"}
    assert found.ungraded == ("THIRD",)
    assert found.labels["student::FIRST_ONE_A"] == "first one_A"
