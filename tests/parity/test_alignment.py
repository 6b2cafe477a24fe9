"""Agreement with known grades, by the definitions that production's reports use."""

from __future__ import annotations

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


def test_the_order_within_a_grade_costs_nothing() -> None:
    for order in (["a1", "a2", "b"], ["a2", "a1", "b"]):
        aligned = align(fit_in_order(order), [], {"a1": "A", "a2": "A", "b": "B"}, SCALE)
        assert [anchor.expected_rank for anchor in aligned.anchors] == [1, 2, 3]


def test_an_essay_that_was_never_compared_is_not_called_winless() -> None:
    fit = fit_in_order(["a", "b"])
    silent = fit.model_copy(
        update={"essays": tuple(row.model_copy(update={"wins": 0, "losses": 0}) for row in fit.essays)}
    )
    aligned = align(silent, [], {"a": "A", "b": "B"}, SCALE)
    assert aligned.zero_win == ()
    assert [anchor.win_rate for anchor in aligned.anchors] == [0.0, 0.0]
