from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.bt import standard_errors as room
from cj_pipeline.bt.comparisons import Comparisons, InvalidComparison
from cj_pipeline.bt.fit import fit
from cj_pipeline.bt.standard_errors import TooManyItems, standard_errors
from cj_pipeline.foundation.errors import CjPipelineError
from tests.bt.nets import ladder, outcome, random_net
from tests.bt.production import production_standard_errors
from tests.bt.simulate import simulate


def information(theta: np.ndarray, net: Comparisons, largest_gap: float = np.inf) -> np.ndarray:
    """Fisher information, row by row, as its definition has it."""
    matrix = np.zeros((net.n_items, net.n_items))
    for winner, loser, count in zip(net.winners, net.losers, net.counts, strict=True):
        gap = theta[winner] - theta[loser]
        chance = 1 / (1 + np.exp(-gap))
        weight = 0.0 if abs(gap) > largest_gap else count * chance * (1 - chance)
        matrix[winner, winner] += weight
        matrix[loser, loser] += weight
        matrix[winner, loser] -= weight
        matrix[loser, winner] -= weight
    return matrix


@pytest.mark.parametrize(
    "net", [ladder(12), random_net(12, 66, 0), random_net(40, 200, 1)], ids=["ladder", "small", "sparse"]
)
def test_centred_standard_errors_are_the_diagonal_of_the_pseudo_inverse(net) -> None:
    result = fit(net)
    brute = np.sqrt(np.diag(np.linalg.pinv(information(result.theta, net))))
    assert result.standard_error == pytest.approx(brute, rel=1e-8)
    assert standard_errors(result.theta, net) == pytest.approx(brute, rel=1e-8)


def test_reference_standard_errors_are_those_of_differences() -> None:
    net = random_net(15, 90, 2)
    theta = fit(net).theta
    covariance = np.linalg.pinv(information(theta, net))
    spread = np.diag(covariance) + covariance[4, 4] - 2 * covariance[:, 4]
    ours = standard_errors(theta, net, reference=4)
    assert ours == pytest.approx(np.sqrt(np.maximum(spread, 0)), rel=1e-8, abs=1e-7)
    assert ours[4] == 0


def test_two_items_met_n_times_evenly() -> None:
    # information of the difference: 100 / 4; each centred score carries half the difference
    net = Comparisons([0, 1], [1, 0], 2, counts=[50, 50])
    assert standard_errors([0, 0], net, reference=0).tolist() == pytest.approx([0, 0.2])
    assert standard_errors([0, 0], net).tolist() == pytest.approx([0.1, 0.1])


def test_the_prior_narrows_no_standard_error() -> None:
    # undefeated in 3: p(1-p) of the fitted score alone, whatever kappa pulled it there
    result = fit(Comparisons([0], [1], 2, counts=[3]), estimator="map", kappa=5.0)
    chance = 8 / 13  # (3 + 5) / (3 + 5 + 5)
    assert result.standard_error[0] == pytest.approx(0.5 / np.sqrt(3 * chance * (1 - chance)), rel=1e-9)


def test_parts_without_a_link_are_infinitely_uncertain_unless_centred_by_part() -> None:
    net = Comparisons([0, 1, 2, 3], [1, 0, 3, 2], 5)
    assert standard_errors(np.zeros(5), net).tolist() == [np.inf] * 5
    by_part = standard_errors(np.zeros(5), net, gauge="component")
    # two comparisons at p = 1/2: information 0.5, variance of the difference 2, of a centred score 2 / 4
    assert by_part.tolist() == pytest.approx([np.sqrt(0.5)] * 4 + [np.inf])
    from_item_2 = standard_errors(np.zeros(5), net, reference=2)
    assert from_item_2.tolist() == pytest.approx([np.inf, np.inf, 0, np.sqrt(2), np.inf])


def test_an_isolated_item_leaves_the_others_alone() -> None:
    net = ladder(4)
    wider = Comparisons(net.winners, net.losers, 5)
    theta = fit(net).theta
    ours = standard_errors([*theta, 0.0], wider)
    assert ours[:4] == pytest.approx(standard_errors(theta, net), rel=1e-12)
    assert ours[4] == np.inf


@pytest.mark.parametrize("gap", [50.0, 900.0])  # information 1e-22, and 0 in double precision
def test_scores_so_far_apart_that_nothing_is_known_are_infinitely_uncertain(gap) -> None:
    net = Comparisons([0, 1, 1, 2], [1, 0, 2, 1], 3)
    assert standard_errors([0.0, 0.0, gap], net).tolist() == [np.inf] * 3


def test_two_items_out_of_sight_of_each_other_are_infinitely_uncertain() -> None:
    assert standard_errors([0.0, 900.0], Comparisons([1], [0], 2)).tolist() == [np.inf] * 2


def test_one_item_is_exact() -> None:
    assert standard_errors([0.0], Comparisons([], [], 1)).tolist() == [0.0]


def test_a_component_too_large_for_a_dense_factorisation_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(room, "DENSE_LIMIT", 11)
    with pytest.raises(TooManyItems, match=r"12 connected items.*uncertainty='skip'") as caught:
        fit(ladder(12))
    assert caught.value.items == tuple(range(12))
    assert fit(ladder(12), uncertainty="skip").theta[0] == pytest.approx(5.3601, abs=4e-4)
    assert np.isfinite(fit(ladder(11)).standard_error).all()


def test_theta_and_reference_are_checked() -> None:
    with pytest.raises(CjPipelineError, match="one finite score for each of the 3 items"):
        standard_errors([0.0, 1.0], ladder(3))
    with pytest.raises(CjPipelineError, match="one finite score"):
        standard_errors([0.0, 1.0, np.nan], ladder(3))
    with pytest.raises(InvalidComparison, match="reference 3 is outside"):
        standard_errors([0.0, 1.0, 2.0], ladder(3), reference=3)


# Production's formula


def test_productions_formula_is_the_reference_gauge_capped_at_2() -> None:
    net = random_net(12, 66, 3)
    theta = fit(net).theta
    ours = np.minimum(standard_errors(theta, net, reference=11), 2.0)
    assert production_standard_errors(theta, net, reference=11) == pytest.approx(ours, rel=1e-9)
    assert production_standard_errors(theta, net, reference=11)[11] == 0


def test_production_gives_no_weight_beyond_10_logits() -> None:
    # on the twelve-anchor ladder the ends are 13 logits apart; the error is below .1 % of a standard error
    net = ladder(12)
    theta = fit(net).theta
    brute = np.linalg.inv(information(theta, net, largest_gap=10.0)[1:, 1:])
    expected = np.minimum([0, *np.sqrt(np.diag(brute))], 2.0)
    assert production_standard_errors(theta, net, reference=0) == pytest.approx(expected, rel=1e-9)
    exact = np.minimum(standard_errors(theta, net, reference=0), 2.0)
    error = np.abs(expected[1:] / exact[1:] - 1).max()
    assert 1e-6 < error < 1e-3


def test_production_on_nets_without_an_answer() -> None:
    assert production_standard_errors([0.0], Comparisons([], [], 1), reference=0).tolist() == [0.0]
    assert production_standard_errors([0.0] * 3, Comparisons([], [], 3), reference=0).tolist() == [0.5] * 3
    isolated = production_standard_errors([0.0] * 3, Comparisons([0], [1], 3), reference=0)
    assert isolated.tolist() == pytest.approx([0, 2.0, 0])  # item 1: sqrt(4) = 2; item 2, never seen: 0


# Honesty


@pytest.mark.parametrize(
    ("n_rows", "seed"), [(None, 11), (480, 12)], ids=["full net, 8 rounds", "sparse net, 40 comparisons an item"]
)
def test_95_percent_intervals_cover_93_to_97_percent(n_rows, seed) -> None:
    rng = np.random.default_rng(seed)
    if n_rows is None:
        n_items = 12
        first, second = (np.tile(side, 8) for side in np.triu_indices(n_items, 1))
    else:
        n_items = 24
        first = rng.integers(0, n_items, n_rows)
        second = (first + rng.integers(1, n_items, n_rows)) % n_items
    truth = rng.normal(0, 1, n_items)
    truth -= truth.mean()
    covered = []
    for _ in range(400):
        net = outcome(first, second, simulate(truth, first, second, rng), n_items)
        scores = fit(net, alpha=1e-3, uncertainty="skip").theta
        covered.append(np.abs(scores - truth) <= 1.96 * standard_errors(scores, net))
    assert 0.93 <= np.mean(covered) <= 0.97
