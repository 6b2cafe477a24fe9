from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.diagnostics import (
    FlagThresholds,
    QualityFlags,
    SeSummary,
    displayed,
    flags_are_vacuous,
    quality_flags,
    se_summary,
)
from cj_pipeline.bt.fit import fit, neutral_fit
from cj_pipeline.bt.standard_errors import standard_errors
from cj_pipeline.foundation.errors import CjPipelineError
from tests.bt.nets import ladder, outcome
from tests.bt.simulate import simulate

# Batch 108 (2025-11-29): 24 essays in rank order, 200 comparisons; published standard errors, wins and losses.
BATCH_108_SE = [
    1.235, 1.1928, 1.0689, 1.0035, 0.9488, 0.9532, 0.9343, 0.0, 0.9277, 0.9416, 0.9533, 1.0131,
    1.0269, 1.0734, 1.046, 1.1344, 1.2049, 1.2828, 1.2563, 1.4857, 1.668, 1.9033, 2.0, 2.0,
]  # fmt: skip
BATCH_108_TOTALS = [16, 16, 16, 17, 17, 17, 17, 17, 17, 16, 17, 16, 17, 17, 17, 17, 17, 16, 16, 16, 17, 17, 17, 17]


def net_with_totals(totals: list[int]) -> Comparisons:
    """Some net in which every item has that many comparisons: the two with most left meet, until none is left."""
    left = np.array(totals)
    rows = []
    while left.any():
        first, second = np.argsort(-left, kind="stable")[:2]
        rows.append((first, second))
        left[[first, second]] -= 1
    winners, losers = zip(*rows, strict=True)
    return Comparisons(winners, losers, len(totals))


def test_batch_108_is_summarised_as_published() -> None:
    summary = se_summary(BATCH_108_SE, net_with_totals(BATCH_108_TOTALS))
    assert summary.as_dict() == {
        "mean_se": pytest.approx(1.1772451183974801, abs=5e-5),  # the standard errors are published with 4 digits
        "max_se": 2.0,
        "min_se": 0.0,
        "item_count": 24,
        "comparison_count": 200,
        "items_at_cap": 2,
        "isolated_items": 0,
        "mean_comparisons_per_item": pytest.approx(16.666666666666668),
        "min_comparisons_per_item": 16,
        "max_comparisons_per_item": 17,
    }
    assert next(iter(summary.as_dict())) == "mean_se"
    assert isinstance(summary.as_dict()["comparison_count"], int)
    assert quality_flags(summary) == QualityFlags(
        bt_se_inflated=True, comparison_coverage_sparse=False, has_isolated_items=False
    )


def test_what_is_displayed_stops_at_2_and_what_is_stored_does_not() -> None:
    result = fit(ladder(5))
    assert result.standard_error.max() == pytest.approx(4.145, abs=1e-3)
    shown = displayed(result.standard_error)
    assert shown.tolist() == [2.0] * 5
    assert displayed([0.3, 2.5, np.inf]).tolist() == [0.3, 2.0, 2.0]


def test_an_isolated_item_counts_at_the_cap_whatever_gauge_gave_it() -> None:
    net = Comparisons([0, 1], [1, 0], 3, counts=[200, 200])
    for isolated_se in (np.inf, 0.0):  # ours, and production's
        summary = se_summary([0.05, 0.05, isolated_se], net)
        assert summary.max_se == 2.0
        assert summary.items_at_cap == 1
        assert summary.isolated_items == 1
        assert quality_flags(summary).has_isolated_items


def test_a_neutral_batch_is_summarised_at_the_cap() -> None:
    summary = se_summary(neutral_fit(3).standard_error, Comparisons([], [], 3))
    assert (summary.mean_se, summary.items_at_cap, summary.isolated_items) == (2.0, 3, 3)
    assert quality_flags(summary) == QualityFlags(True, True, True)


def test_a_single_item_is_exact_and_no_item_is_nothing() -> None:
    assert se_summary([0.0], Comparisons([], [], 1)).max_se == 0.0
    assert se_summary([], Comparisons([], [], 0)) == SeSummary(0.0, 0.0, 0.0, 0, 0, 0, 0, 0.0, 0, 0)


def test_standard_errors_of_another_net_are_refused() -> None:
    with pytest.raises(CjPipelineError, match="3 items"):
        se_summary([0.1, 0.2], ladder(3))


@pytest.mark.parametrize(
    ("mean_se", "max_se", "inflated"), [(0.4, 0.8, False), (0.4001, 0.5, True), (0.3, 0.8001, True)]
)
def test_the_flag_of_inflated_errors_is_raised_above_its_thresholds_only(mean_se, max_se, inflated) -> None:
    summary = SeSummary(mean_se, max_se, 0.1, 10, 50, 0, 0, 10.0, 10, 10)
    assert quality_flags(summary).bt_se_inflated is inflated


@pytest.mark.parametrize(("mean", "sparse"), [(0.99, True), (1.0, False)])
def test_coverage_is_sparse_below_one_comparison_an_item(mean, sparse) -> None:
    summary = SeSummary(0.1, 0.1, 0.1, 10, 5, 0, 0, mean, 0, 2)
    assert quality_flags(summary).as_dict()["comparison_coverage_sparse"] is sparse
    lenient = FlagThresholds(mean_comparisons_per_item=0.5)
    assert quality_flags(summary, lenient).comparison_coverage_sparse is False


def test_twelve_items_met_once_are_inflated_whoever_judges() -> None:
    # at p = 1/2: information 12/4 on differences, so sqrt(4/12 * 11/12) = .553 in the centred gauge, above .4
    verdict = flags_are_vacuous(ladder(12))
    assert verdict.best_case.mean_se == pytest.approx(0.5528, abs=1e-4)
    assert verdict.names == ("bt_se_inflated", "comparison_coverage_sparse", "has_isolated_items")
    # sqrt(8/12) = .816 for 11 items, 0 for the reference
    assert flags_are_vacuous(ladder(12), reference=0).best_case.mean_se == pytest.approx(0.7484, abs=1e-4)


def test_twelve_items_met_four_times_are_inflated_by_the_judge_or_not_at_all() -> None:
    net = ladder(12, rounds=4)
    verdict = flags_are_vacuous(net)
    assert verdict.best_case.mean_se == pytest.approx(0.2764, abs=1e-4)
    assert verdict.names == ("comparison_coverage_sparse", "has_isolated_items")
    # and indeed: a coin tosser leaves the flag down, a perfect judge raises it
    coin = simulate(np.zeros(12), net.winners, net.losers, np.random.default_rng(1))
    tossed = outcome(net.winners, net.losers, coin, 12)
    assert not quality_flags(se_summary(fit(tossed).standard_error, tossed)).bt_se_inflated
    assert quality_flags(se_summary(fit(net).standard_error, net)).bt_se_inflated


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("reference", [None, 3])
def test_no_scores_beat_the_best_case(seed, reference) -> None:
    net = ladder(6, rounds=2)
    best = standard_errors(np.zeros(6), net, reference=reference)
    theta = np.random.default_rng(seed).normal(0, 0.5, 6)
    assert np.all(standard_errors(theta, net, reference=reference) >= best)


@pytest.mark.parametrize("n_items", [0, 1])
def test_without_two_items_no_flag_is_up_to_the_judge(n_items) -> None:
    assert len(flags_are_vacuous(Comparisons([], [], n_items)).names) == 3
