"""How much a comparison proves, with the numbers that statistics books give."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from cj_pipeline.parity.evidence import EvidenceVerdict, difference_of_means, difference_of_shares


@pytest.mark.parametrize(("margin", "per_side"), [(0.20, 108), (0.15, 191), (0.10, 429), (0.05, 1713)])
def test_showing_equal_shares_takes_so_many_comparisons_a_side(margin: float, per_side: int) -> None:
    # (z.95 + z.90)^2 / 2 / margin^2 at p = 1/2, 80 % power.
    assert difference_of_shares((5, 10), (5, 10), margin).needed_per_side == per_side


def test_ten_comparisons_cannot_show_equality_within_20_points() -> None:
    evidence = difference_of_shares((4, 10), (4, 10), 0.20)
    assert evidence.verdict is EvidenceVerdict.INCONCLUSIVE
    assert "108 observations a side (there are 10 and 10)" in evidence.sentence("share")


def test_two_hundred_of_the_same_are_equivalent() -> None:
    assert difference_of_shares((100, 200), (100, 200), 0.20).verdict is EvidenceVerdict.EQUIVALENT


def test_sixty_points_apart_are_different() -> None:
    assert difference_of_shares((40, 200), (160, 200), 0.20).verdict is EvidenceVerdict.DIFFERENT


def test_a_small_but_certain_difference_inside_the_margin_is_equivalent() -> None:
    evidence = difference_of_shares((50_000, 100_000), (51_000, 100_000), 0.20)
    assert evidence.low > 0
    assert evidence.verdict is EvidenceVerdict.EQUIVALENT


def test_the_interval_is_newcombes() -> None:
    # Newcombe (1998), table II, 56/70 against 48/80 at 95 %: .0524 to .3339. Here at 90 %, so narrower and inside it.
    evidence = difference_of_shares((48, 80), (56, 70), 0.5)
    assert 0.0524 < evidence.low < 0.2 < evidence.high < 0.3339


def test_no_error_in_120_is_no_proof_that_there_are_none() -> None:
    evidence = difference_of_shares((0, 10), (0, 110), 0.05)
    assert evidence.verdict is EvidenceVerdict.INCONCLUSIVE
    assert evidence.minimum_detectable > 0.05


def test_a_margin_of_zero_can_never_be_shown_to_hold() -> None:
    evidence = difference_of_shares((0, 10), (0, 110), 0.0)
    assert evidence.needed_per_side is None
    assert "No number of observations shows exact equality" in evidence.sentence("share")


def test_means_are_judged_by_welchs_interval() -> None:
    recorded, live = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 3.0, 4.0, 5.0])
    evidence = difference_of_means(recorded, live, (-5.0, 5.0))
    assert evidence is not None
    # Difference 1, standard error sqrt(5/3/4 * 2) = .9129, t(.95, 6) = 1.9432.
    assert (evidence.low, evidence.high) == (pytest.approx(1 - 1.7739, abs=1e-3), pytest.approx(1 + 1.7739, abs=1e-3))
    assert evidence.verdict is EvidenceVerdict.EQUIVALENT


def test_two_samples_without_any_spread_are_equal_or_not() -> None:
    same = difference_of_means(np.full(4, 5.0), np.full(40, 5.0), (-0.5, 0.5))
    apart = difference_of_means(np.full(4, 5.0), np.full(40, 7.0), (-0.5, 0.5))
    assert same is not None
    assert apart is not None
    assert (same.verdict, apart.verdict) == (EvidenceVerdict.EQUIVALENT, EvidenceVerdict.DIFFERENT)


def test_one_value_has_no_spread_and_gives_no_evidence() -> None:
    assert difference_of_means(np.array([1.0]), np.array([1.0, 2.0]), (-1.0, 1.0)) is None


def test_at_the_margin_equivalence_is_claimed_wrongly_about_as_often_as_promised() -> None:
    # Exact, over all outcomes of 66 against 66 comparisons with true shares 20 points apart. The promise is .05; the
    # interval is approximate and shares are discrete, so it comes out at .061 here (.049 at 100, .057 at 200).
    n, chance = 66, 0.0
    for won_recorded in range(n + 1):
        for won_live in range(n + 1):
            weight = binom.pmf(won_recorded, n, 0.4) * binom.pmf(won_live, n, 0.6)
            if weight > 1e-10:
                verdict = difference_of_shares((won_recorded, n), (won_live, n), 0.20).verdict
                chance += weight * (verdict is EvidenceVerdict.EQUIVALENT)
    assert chance == pytest.approx(0.061, abs=0.001)
