from __future__ import annotations

import choix
import evalica
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from cj_pipeline.bt import newton
from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.fit import EstimatorOption, NoComparisons, fit, neutral_fit
from cj_pipeline.bt.newton import NotConverged
from tests.bt.nets import cycle_net, ladder, random_net


def ilsr(net: Comparisons, alpha: float) -> np.ndarray:
    """choix, run to its fixed point (production stops it at 100 iterations)."""
    rows = list(zip(net.winners.tolist(), net.losers.tolist(), strict=True))
    theta = choix.ilsr_pairwise(net.n_items, rows, alpha=alpha, max_iter=100_000, tol=1e-12)
    return theta - theta.mean()


@st.composite
def small_nets(draw: st.DrawFn) -> Comparisons:
    n_items = draw(st.integers(2, 7))
    rows = draw(st.lists(st.tuples(st.integers(0, n_items - 1), st.integers(1, n_items - 1)), min_size=1, max_size=25))
    winners = np.array([winner for winner, _ in rows])
    return Comparisons(winners, (winners + [gap for _, gap in rows]) % n_items, n_items)


# Facts of production


def test_three_transitive_items_score_as_in_production() -> None:
    # production's own check: items 0 > 1 > 2, each pair once
    assert fit(ladder(3)).theta == pytest.approx([3.096, 0.221, -3.317], abs=6e-4)


@pytest.mark.parametrize(
    ("rounds", "theta"),
    [
        # the five lowest anchors in perfect order; 10 and 20 comparisons, choix 0.4 I-LSR with alpha 0.01, centred
        (1, [4.2777, 2.4563, 0.3839, -2.0333, -5.0845]),
        (2, [5.4951, 3.0867, 0.4118, -2.6390, -6.3546]),
    ],
)
def test_a_perfect_ladder_of_five_scores_as_published(rounds, theta) -> None:
    assert fit(ladder(5, rounds)).theta == pytest.approx(theta, abs=1e-4)


def test_the_perfect_ladder_of_twelve_anchors_runs_from_5_36_to_minus_7_68() -> None:
    # run a259881c: 66 comparisons, every anchor beat every lower one
    theta = fit(ladder(12)).theta
    assert theta[0] == pytest.approx(5.3601, abs=4e-4)
    assert theta[-1] == pytest.approx(-7.6778, abs=4e-4)
    assert np.all(np.diff(theta) < 0)


def test_two_items_have_a_closed_form() -> None:
    # theta_0 - theta_1 = ln((wins + kappa) / (losses + kappa)), kappa = 0.01 * 2
    theta = fit(Comparisons([0, 1], [1, 0], 2, counts=[7, 2])).theta
    assert theta[0] - theta[1] == pytest.approx(np.log(7.02 / 2.02), abs=1e-10)
    by_map = fit(Comparisons([0], [1], 2, counts=[7]), estimator="map", kappa=0.5).theta
    assert by_map[0] - by_map[1] == pytest.approx(np.log(7.5 / 0.5), abs=1e-10)
    mle = fit(Comparisons([0, 1], [1, 0], 2, counts=[7, 2]), estimator="mle").theta
    assert mle.tolist() == pytest.approx([np.log(3.5) / 2, -np.log(3.5) / 2], abs=1e-10)


@pytest.mark.parametrize(
    ("n_items", "n_rows", "seed"), [(4, 6, 0), (12, 66, 1), (12, 20, 2), (30, 90, 3), (60, 600, 4)]
)
@pytest.mark.parametrize("alpha", [0.01, 0.1])
def test_production_is_the_fixed_point_of_ilsr(n_items, n_rows, seed, alpha) -> None:
    net = random_net(n_items, n_rows, seed)
    ours = fit(net, alpha=alpha, centring="all").theta
    assert ours == pytest.approx(ilsr(net, alpha), abs=1e-6)


def test_after_productions_centring_an_isolated_item_of_six_ranks_second() -> None:
    # the reason why it is not our default
    net = Comparisons([0, 0, 0, 0], [1, 2, 3, 4], 6)
    by_production = fit(net, centring="all").theta
    assert by_production == pytest.approx(ilsr(net, 0.01), abs=1e-6)
    assert (by_production > by_production[5]).sum() == 1
    ours = fit(net)
    assert ours.theta[5] == 0
    assert ours.theta[:5].sum() == pytest.approx(0, abs=1e-12)
    assert ours.isolated_items == (5,)
    assert "item 5" in ours.warnings[0]


# Laws


@settings(max_examples=60, deadline=None)
@given(net=small_nets(), shuffle=st.randoms(use_true_random=False))
def test_relabelling_items_permutes_scores_and_standard_errors(net, shuffle) -> None:
    order = list(range(net.n_items))
    shuffle.shuffle(order)
    new = np.array(order)
    before, after = fit(net), fit(Comparisons(new[net.winners], new[net.losers], net.n_items))
    assert after.theta[new] == pytest.approx(before.theta, abs=1e-9)
    assert after.standard_error[new] == pytest.approx(before.standard_error, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(n_items=st.integers(2, 8), n_rows=st.integers(1, 30), seed=st.integers(0, 10_000))
def test_swapping_winners_and_losers_negates_the_mle(n_items, n_rows, seed) -> None:
    net = cycle_net(n_items, n_rows, seed)
    forth = fit(net, estimator="mle").theta
    back = fit(Comparisons(net.losers, net.winners, n_items), estimator="mle").theta
    assert back == pytest.approx(-forth, abs=1e-9)


def test_swapping_winners_and_losers_does_not_negate_production() -> None:
    net = ladder(3)
    swapped = Comparisons(net.losers, net.winners, 3)
    assert np.abs(fit(swapped).theta + fit(net).theta).max() > 0.2  # 3.096 against 3.317


@settings(max_examples=40, deadline=None)
@given(net=small_nets(), data=st.data())
def test_a_count_is_as_many_rows(net, data) -> None:
    counts = data.draw(st.lists(st.integers(0, 4), min_size=len(net.winners), max_size=len(net.winners)))
    counts[0] = max(counts[0], 1)
    counted = fit(Comparisons(net.winners, net.losers, net.n_items, counts))
    repeated = fit(Comparisons(np.repeat(net.winners, counts), np.repeat(net.losers, counts), net.n_items))
    assert counted.theta == pytest.approx(repeated.theta, abs=1e-10)
    assert counted.n_comparisons == repeated.n_comparisons == sum(counts)
    assert counted.log_likelihood == pytest.approx(repeated.log_likelihood, abs=1e-10)


@settings(max_examples=60, deadline=None)
@given(net=small_nets(), alpha=st.sampled_from([1e-6, 0.01, 3.0]))
def test_no_score_and_no_standard_error_is_ever_nan(net, alpha) -> None:
    result = fit(net, alpha=alpha)
    assert np.isfinite(result.theta).all()
    assert not np.isnan(result.standard_error).any()
    assert result.log_likelihood <= 0
    assert result.gradient_norm < 1e-9


# The maximum-likelihood estimate


def test_the_mle_agrees_with_evalica() -> None:
    net = cycle_net(15, 200, seed=5)
    names = [f"{item:02d}" for item in range(15)]
    peer = evalica.bradley_terry(
        [names[i] for i in net.winners],
        [names[i] for i in net.losers],
        [evalica.Winner.X] * len(net.winners),
        tolerance=1e-13,
        limit=1_000_000,
    )
    theirs = np.log(peer.scores.loc[names].to_numpy())
    assert fit(net, estimator="mle").theta == pytest.approx(theirs - theirs.mean(), abs=1e-6)


def test_the_mle_maximises_the_likelihood_it_reports() -> None:
    net = cycle_net(8, 60, seed=6)

    def minus_log_likelihood(theta: np.ndarray) -> float:
        return float(np.logaddexp(0, theta[net.losers] - theta[net.winners]).sum())

    ours = fit(net, estimator="mle")
    best = minimize(minus_log_likelihood, np.zeros(8), method="BFGS", options={"gtol": 1e-9})
    assert ours.log_likelihood == pytest.approx(-best.fun, abs=1e-9)
    assert ours.theta == pytest.approx(best.x - best.x.mean(), abs=1e-5)


def test_the_mle_of_a_net_in_two_parts_is_centred_in_each_and_says_so() -> None:
    net = Comparisons([0, 1, 2, 3], [1, 0, 3, 2], 5, counts=[3, 1, 1, 2])
    result = fit(net, estimator="mle")
    assert result.theta == pytest.approx([np.log(3) / 2, -np.log(3) / 2, -np.log(2) / 2, np.log(2) / 2, 0], abs=1e-10)
    assert result.gauge == "component"
    assert result.components.tolist() == [0, 0, 1, 1, 2]
    # information of a pair with counts 3 and 1 is 4 * 3/16; a centred score has a quarter of the difference's variance
    assert result.standard_error[0] == pytest.approx(np.sqrt(1 / 0.75) / 2)
    assert result.standard_error[4] == np.inf
    assert "(items 0, 1) and (items 2, 3) were never compared" in result.warnings[1]
    assert "not comparable" in result.warnings[1]


# Conjugate gradients, above CHOLESKY_LIMIT


@pytest.mark.parametrize(
    "net", [random_net(200, 2000, seed=7), Comparisons(range(150), range(1, 151), 152)], ids=["random", "chain"]
)
@pytest.mark.parametrize("estimator", ["production", "map"])
def test_conjugate_gradients_reach_the_same_maximum_as_cholesky(net, estimator, monkeypatch) -> None:
    dense = fit(net, estimator=estimator, uncertainty="skip")
    monkeypatch.setattr(newton, "CHOLESKY_LIMIT", 10)
    monkeypatch.setattr(newton, "_cholesky_direction", None)  # so that it cannot be what answers
    sparse = fit(net, estimator=estimator, uncertainty="skip")
    assert sparse.theta == pytest.approx(dense.theta, abs=1e-9)
    assert sparse.gradient_norm < 1e-9


def test_conjugate_gradients_find_the_mle_of_a_net_in_two_parts(monkeypatch) -> None:
    half = cycle_net(40, 300, seed=8)
    net = Comparisons(
        np.concatenate((half.winners, half.losers + 40)), np.concatenate((half.losers, half.winners + 40)), 81
    )
    dense = fit(net, estimator="mle")
    monkeypatch.setattr(newton, "CHOLESKY_LIMIT", 10)
    sparse = fit(net, estimator="mle")
    assert sparse.theta == pytest.approx(dense.theta, abs=1e-9)
    assert sparse.theta[40:80] == pytest.approx(-sparse.theta[:40], abs=1e-9)


# Edges


def test_nothing_to_fit_is_an_error_and_has_a_neutral_way_on() -> None:
    with pytest.raises(NoComparisons, match="No items"):
        fit(Comparisons([], [], 0))
    with pytest.raises(NoComparisons, match="3 items, but no comparison") as caught:
        fit(Comparisons([], [], 3))
    assert caught.value.items == tuple(range(3))
    with pytest.raises(NoComparisons):
        fit(Comparisons([0], [1], 3, counts=[0]))
    neutral = neutral_fit(3)
    assert neutral.theta.tolist() == [0, 0, 0]
    assert neutral.standard_error.tolist() == [np.inf] * 3
    assert neutral.isolated_items == (0, 1, 2)
    assert neutral.estimator == "neutral"
    assert neutral.warnings


def test_one_item_scores_zero_with_certainty_and_a_warning() -> None:
    result = fit(Comparisons([], [], 1))
    assert (result.theta.tolist(), result.standard_error.tolist()) == ([0.0], [0.0])
    assert result.estimator == "production"
    assert "One item" in result.warnings[0]


def test_under_a_prior_parts_share_a_scale_but_nothing_is_known_of_their_distance() -> None:
    # 0 > 1 twice, 2 > 3 once: linked by the prior alone
    result = fit(Comparisons([0, 2], [1, 3], 4, counts=[2, 1]))
    assert result.theta.sum() == pytest.approx(0, abs=1e-12)
    assert result.gauge == "compared"
    assert result.standard_error.tolist() == [np.inf] * 4
    assert "Only the prior links them" in result.warnings[0]


def test_a_connected_net_of_ordinary_size_has_no_warnings() -> None:
    assert fit(ladder(12)).warnings == ()


def test_production_warns_of_itself_above_300_items_and_map_does_not() -> None:
    net = random_net(301, 3010, seed=9)
    assert "worth 3.01 comparisons an item" in fit(net).warnings[0]
    assert fit(net, estimator="map").warnings == ()
    assert fit(random_net(300, 3000, seed=9)).warnings == ()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"estimator": "mpa"}, "Did you mean 'map'"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"estimator": "map", "kappa": -1.0}, "kappa is -1.0"),
        ({"estimator": "map", "alpha": 0.1}, "alpha belongs to"),
        ({"estimator": "mle", "kappa": 0.1}, "kappa belongs to"),
        ({"kappa": 0.1}, "kappa belongs to"),
        ({"estimator": "mle", "centring": "all"}, "the mle has none"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(options, says) -> None:
    with pytest.raises(EstimatorOption, match=says):
        fit(Comparisons([0, 1], [1, 0], 2), **options)


def test_a_vanishing_prior_on_separated_data_is_an_error_rather_than_a_guess() -> None:
    with pytest.raises(NotConverged):
        fit(ladder(12), estimator="map", kappa=1e-300)


def test_skipping_uncertainty_changes_no_score() -> None:
    net = random_net(12, 66, seed=10)
    skipped = fit(net, uncertainty="skip")
    assert skipped.theta.tolist() == fit(net).theta.tolist()
    assert skipped.standard_error.tolist() == [np.inf] * 12
