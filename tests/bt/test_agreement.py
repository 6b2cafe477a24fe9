from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from cj_pipeline.bt import agreement
from cj_pipeline.bt.agreement import (
    UnusableScores,
    kendall_tau_a,
    kendall_tau_b,
    rank_correlation,
    without_rounding_error,
)

scores = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=14)


def test_54_of_66_net_pairs_are_a_tau_of_0_82() -> None:
    # twelve anchors, 6 pairs out of order: (60 - 6) / 66, the figure published for batch 108 as ~0.82
    order = [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]
    assert kendall_tau_a(range(12), order) == pytest.approx(54 / 66)
    assert round(kendall_tau_a(range(12), order), 2) == 0.82


def test_one_inversion_among_five_is_0_8() -> None:
    # LOWER5 batch 148: one direct inversion, published tau 0.8
    assert kendall_tau_a([5, 4, 3, 2, 1], [5, 4, 2, 3, 1]) == pytest.approx(0.8)
    assert kendall_tau_b([5, 4, 3, 2, 1], [5, 4, 2, 3, 1]) == pytest.approx(0.8)


def test_ties_count_for_neither_in_tau_a_and_leave_the_denominator_in_tau_b() -> None:
    # pairs: (0,1) tied in a; (0,2) and (1,2) concordant
    assert kendall_tau_a([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / 3)
    assert kendall_tau_b([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / np.sqrt(2 * 3))


@settings(deadline=None)
@given(scores)
def test_tau_b_is_scipys(pairs) -> None:
    a, b = np.array(pairs).T
    theirs = kendalltau(a, b).statistic if np.ptp(a) and np.ptp(b) else 0.0
    assert kendall_tau_b(a, b) == pytest.approx(theirs, abs=1e-12)


@settings(deadline=None)
@given(scores)
def test_tau_a_is_its_definition(pairs) -> None:
    a, b = np.array(pairs).T
    n = len(a)
    signs = [np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i in range(n) for j in range(i)]
    assert kendall_tau_a(a, b) == pytest.approx(sum(signs) / (n * (n - 1) / 2), abs=1e-12)


@settings(deadline=None)
@given(scores)
def test_rank_correlation_is_spearmans(pairs) -> None:
    a, b = np.array(pairs).T
    theirs = spearmanr(a, b).statistic if np.ptp(a) and np.ptp(b) else 0.0
    assert rank_correlation(a, b) == pytest.approx(theirs, abs=1e-12)


def test_tied_scores_share_the_middle_of_their_ranks() -> None:
    # ranks 1.5 1.5 3 against 1 2 3: 1.5 / sqrt(1.5 * 2)
    assert rank_correlation([7, 7, 9], [10, 20, 30]) == pytest.approx(1.5 / np.sqrt(3.0))


def test_a_tie_that_only_rounding_error_breaks_is_a_tie() -> None:
    a, b = [0.1 + 0.2, 0.3, 1.0], [0.3, 0.1 + 0.2, 1.0]
    assert a[0] > a[1]
    assert b[0] < b[1]
    assert kendall_tau_b(a, b) == pytest.approx(1 / 3)
    assert kendall_tau_b(without_rounding_error(a), without_rounding_error(b)) == 1.0


@pytest.mark.parametrize("size", [30, 513])
def test_both_ways_of_counting_pairs_agree(size, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, size // 3, size), rng.integers(0, size // 3, size)
    monkeypatch.setattr(agreement, "TABLE_LIMIT", 10_000)
    by_table = kendall_tau_a(a, b), kendall_tau_b(a, b)
    monkeypatch.setattr(agreement, "TABLE_LIMIT", 0)
    assert (kendall_tau_a(a, b), kendall_tau_b(a, b)) == pytest.approx(by_table, abs=1e-14)
    assert kendall_tau_b(a, np.zeros(size)) == 0.0


def test_no_order_is_agreed_with_by_nobody() -> None:
    assert kendall_tau_a([], []) == kendall_tau_b([1.0], [2.0]) == kendall_tau_a([1.0], [2.0]) == 0.0
    assert kendall_tau_b([1, 1, 1], [1, 2, 3]) == 0.0
    assert rank_correlation([], []) == rank_correlation([1.0], [2.0]) == rank_correlation([1, 1, 1], [1, 2, 3]) == 0.0


def test_scores_that_differ_by_less_than_a_difference_can_show_are_ordered() -> None:
    assert kendall_tau_a([1e308, -1e308], [2e-320, 1e-320]) == 1.0


@pytest.mark.parametrize(
    ("a", "b", "says"), [([1, 2], [1, 2, 3], "equal length"), ([1, np.nan], [1, 2], "finite"), ([[1]], [[1]], "lists")]
)
def test_unusable_scores_are_refused(a, b, says) -> None:
    for agreement_of in (kendall_tau_a, kendall_tau_b, rank_correlation):
        with pytest.raises(UnusableScores, match=says):
            agreement_of(a, b)
