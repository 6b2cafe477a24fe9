"""Agreement with known grades, by the definitions that production's reports use."""

from __future__ import annotations

import pytest

from cj_pipeline.parity.alignment import align
from cj_pipeline.runs.record import BtFit, ScoredEssay

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
