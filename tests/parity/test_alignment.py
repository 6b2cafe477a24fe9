"""Agreement with known grades, by the definitions that production's reports use."""

from __future__ import annotations

import pytest

from cj_pipeline.eng5.alignment_report import alignment_markdown, scenario_alignment
from cj_pipeline.parity.alignment import align
from cj_pipeline.runs.record import BtFit, ScoredEssay
from tests.sides import ANCHORS, GENERIC, LADDER, LOWER5, recorded, scenario

SCALE = ("A", "B", "C+", "C-", "D+", "D-", "E+", "E-", "F+")


def fit_in_order(order: list[str]) -> BtFit:
    """A fit whose essays stand in this order, best first; wins and losses of a clean ladder."""
    n = len(order)
    return BtFit(
        estimator="production",
        kappa=0.01 * n,
        essays=tuple(
            ScoredEssay(
                essay_id=essay, theta=float(-rank), standard_error=1.0, rank=rank, wins=n - rank, losses=rank - 1
            )
            for rank, essay in enumerate(order, start=1)
        ),
        se_summary={},
        quality_flags={},
        vacuous_flags=(),
        warnings=(),
    )


def test_batch_108_ranked_60_of_66_anchor_pairs_as_their_grades_do() -> None:
    # Published order of the twelve anchors in batch 108: tau-a .8182, 60 concordant and 6 discordant.
    order = ["A1", "B1", "B2", "A2", "C+", "D+", "C-", "E+", "D-", "F+1", "F+2", "E-"]
    grades = {essay: essay.rstrip("12") for essay in order}
    assert align(fit_in_order(order), [], grades, SCALE).tau_a == pytest.approx((60 - 6) / 66)


def test_the_order_within_a_grade_costs_nothing() -> None:
    for order in (["a1", "a2", "b"], ["a2", "a1", "b"]):
        aligned = align(fit_in_order(order), [], {"a1": "A", "a2": "A", "b": "B"}, SCALE)
        assert aligned.tau_a == 1.0
        assert [anchor.expected_rank for anchor in aligned.anchors] == [1, 2, 3]


def test_an_essay_that_was_never_compared_is_not_called_winless() -> None:
    fit = fit_in_order(["a", "b"])
    silent = fit.model_copy(
        update={"essays": tuple(row.model_copy(update={"wins": 0, "losses": 0}) for row in fit.essays)}
    )
    aligned = align(silent, [], {"a": "A", "b": "B"}, SCALE)
    assert aligned.zero_win == ()
    assert [anchor.win_rate for anchor in aligned.anchors] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("scenario_id", "tau", "inversions", "winless"),
    # Published: 1.0 and none for LOWER5 and for run a259881c, whose last anchors win nothing.
    [(LOWER5, 1.0, 0, 1), (LADDER, 1.0, 0, 1), (ANCHORS, 62 / 66, 3, 0)],
)
def test_the_recorded_runs_align_as_published(scenario_id: str, tau: float, inversions: int, winless: int) -> None:
    aligned = scenario_alignment(scenario(scenario_id), recorded(scenario_id))
    assert aligned is not None
    assert (aligned.tau_a, len(aligned.inversions), len(aligned.zero_win)) == (pytest.approx(tau), inversions, winless)


def test_an_ungraded_net_has_no_alignment() -> None:
    assert scenario_alignment(scenario(GENERIC), recorded(GENERIC)) is None


def test_the_report_names_the_inversions_and_says_which_target_is_missed() -> None:
    aligned = scenario_alignment(scenario(ANCHORS), recorded(ANCHORS))
    assert aligned is not None
    labels = {item.id: item.label for item in scenario(ANCHORS).net.items}
    report = alignment_markdown("anchors", aligned, labels)
    assert "| direct inversions | 3 | <= 1, missed |" in report
    assert "vt_002_F+ beat vt_004_E+" in report
