"""The posterior of a judge's winner part: against an independent peer, under renaming, and on data that degenerate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, roots_hermitenorm
from scipy.stats import norm

from cj_pipeline.bt import posterior as module
from cj_pipeline.bt.judgements import Draws, Judgements, fit_judgements
from cj_pipeline.bt.posterior import log_likelihood, posterior


def gathered(n_items: int, rows: list[tuple[int, int, int, int]]) -> Judgements:
    """Judgements of (first, second, asked, wins of the first)."""
    first, second, asked, wins = (np.array(column) for column in zip(*rows, strict=True))
    return Judgements(n_items, first, second, asked.astype(float), wins.astype(float))


THREE = gathered(3, [(0, 1, 3, 3), (1, 0, 1, 0), (1, 2, 4, 3), (0, 2, 2, 2), (2, 0, 1, 1)])


def drawn(judgements: Judgements, *, seed: int = 1, size: int = 8_000, repeatability: float | None = None) -> Draws:
    return posterior(fit_judgements(judgements, repeatability=repeatability), size, np.random.default_rng(seed))


def simulated(n: int, p: int, *, seed: int, position: float = 0.5, spread: float = 2.0) -> Judgements:
    """One answer to each of p pairs of n items."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(0, spread, n)
    pairs = rng.permutation(np.array(np.triu_indices(n, 1)).T)[:p]
    first, second = np.where(rng.random(p) < 0.5, pairs.T, pairs.T[::-1])
    wins = rng.random(p) < expit(theta[first] - theta[second] + position)
    return Judgements(n, first, second, np.ones(p), wins.astype(float))


def integrated(judgements: Judgements) -> dict[str, tuple[float, float]]:
    """Mean and deviation of each parameter of three items, by quadrature over all of them; none of the module's code.

    Gauss-Hermite nodes for theta and position, equal steps for the logarithm of the spread and for the repeatability.
    """
    nodes, weights = roots_hermitenorm(18)
    spreads = np.geomspace(0.03, 12, 24)
    # d/d log(spread) on equal steps of the logarithm.
    spread_mass = norm.pdf(spreads, 0, 3) * spreads
    rs = (np.arange(25) + 0.5) / 25
    low, high = rs**0 * 6 * (1 - rs) ** 5, rs**5 * (1 - rs) ** 0.5
    r_mass = 0.35 * low / low.sum() + 0.65 * high / high.sum()
    z = np.stack(np.meshgrid(nodes, nodes, nodes, nodes, indexing="ij")).reshape(4, -1)
    mass = np.prod(np.stack(np.meshgrid(*[weights] * 4, indexing="ij")).reshape(4, -1), axis=0)
    sums: dict[str, np.ndarray] = {}
    total = 0.0
    for spread, of_spread in zip(spreads, spread_mass, strict=True):
        theta, position = spread * z[:3], z[3]
        log_free, log_fixed = [], []
        for a, b, n, k in zip(
            judgements.first, judgements.second, judgements.asked, judgements.first_wins, strict=True
        ):
            chance = expit(theta[a] - theta[b] + position)
            log_free.append(chance**k * (1 - chance) ** (n - k))
            log_fixed.append(np.where(k == n, chance, 0) + np.where(k == 0, 1 - chance, 0))
        for r, of_r in zip(rs, r_mass, strict=True):
            weight = mass * of_spread * of_r
            for free, fixed in zip(log_free, log_fixed, strict=True):
                weight = weight * ((1 - r) * free + r * fixed)
            here = weight.sum()
            total += here
            values = {"theta": theta[0], "theta 2": theta[2], "position": position}
            values |= {"spread": np.full_like(position, spread), "repeatability": np.full_like(position, r)}
            for name, value in values.items():
                moments = np.array([(weight * value).sum(), (weight * value**2).sum()])
                sums[name] = sums.get(name, np.zeros(2)) + moments
    found = {}
    for name, (first, second) in sums.items():
        mean = first / total
        found[name] = (mean, float(np.sqrt(second / total - mean**2)))
    return found


def test_the_posterior_is_the_one_that_quadrature_finds() -> None:
    expected = integrated(THREE)
    found = drawn(THREE, size=20_000)
    columns = {
        "theta": found.theta[:, 0],
        "theta 2": found.theta[:, 2],
        "position": found.position,
        "spread": found.spread,
        "repeatability": found.repeatability,
    }
    for name, values in columns.items():
        mean, deviation = expected[name]
        assert values.mean() == pytest.approx(mean, abs=0.06 * deviation + 0.01), name
        assert values.std() == pytest.approx(deviation, rel=0.06), name


def test_the_likelihood_is_that_of_free_and_fixed_answers() -> None:
    point, r = np.array([[0.7, -0.2, -0.5, 0.3]]), np.array([0.4])
    expected = 0.0
    for a, b, n, k in ((0, 1, 3, 3), (1, 0, 1, 0), (1, 2, 4, 3), (0, 2, 2, 2), (2, 0, 1, 1)):
        chance = expit(point[0, a] - point[0, b] + 0.3)
        fixed = chance if k == n else 1 - chance if k == 0 else 0.0
        expected += np.log(0.6 * chance**k * (1 - chance) ** (n - k) + 0.4 * fixed)
    assert log_likelihood(THREE, point, r)[0] == pytest.approx(expected)


def test_other_names_for_the_items_change_nothing_else() -> None:
    data = simulated(8, 25, seed=3)
    order = np.random.default_rng(0).permutation(8)
    renamed = replace(data, first=order[data.first], second=order[data.second])
    fit, other = fit_judgements(data), fit_judgements(renamed)
    assert other.mean[:-1][order] == pytest.approx(fit.mean[:-1], abs=1e-5)
    assert (other.mean[-1], other.spread) == (pytest.approx(fit.mean[-1], abs=1e-5), pytest.approx(fit.spread))


def test_swapped_sides_turn_the_position_effect_round_and_leave_the_scale() -> None:
    data = simulated(8, 25, seed=4)
    swapped = replace(data, first=data.second, second=data.first, first_wins=data.asked - data.first_wins)
    fit, other = fit_judgements(data), fit_judgements(swapped)
    assert other.mean[-1] == pytest.approx(-fit.mean[-1], abs=1e-5)
    assert other.mean[:-1] == pytest.approx(fit.mean[:-1], abs=1e-5)


def test_one_seed_gives_one_set_of_draws_and_another_seed_another() -> None:
    one, same, other = drawn(THREE), drawn(THREE), drawn(THREE, seed=2)
    assert np.array_equal(one.theta, same.theta)
    assert np.array_equal(one.repeatability, same.repeatability)
    assert not np.array_equal(one.theta, other.theta)


@pytest.mark.parametrize(
    "judgements",
    [
        gathered(2, [(0, 1, 1, 1)]),
        gathered(2, [(0, 1, 50, 50)]),
        gathered(12, [(a, b, 1, 1) for a in range(12) for b in range(a + 1, 12)]),
        gathered(4, [(0, 1, 2, 1), (1, 0, 2, 1)]),
    ],
    ids=["one answer", "one prompt", "one winner in all pairs", "items never shown"],
)
def test_data_that_degenerate_give_finite_draws(judgements: Judgements) -> None:
    found = drawn(judgements, size=500)
    for column in (found.theta, found.position, found.spread, found.repeatability):
        assert np.isfinite(column).all()
    assert ((found.repeatability >= 0) & (found.repeatability <= 1)).all()


def test_an_item_never_shown_has_the_prior_around_zero() -> None:
    found = drawn(gathered(4, [(0, 1, 6, 4), (1, 0, 6, 2), (0, 2, 6, 5)]), size=20_000)
    assert found.theta[:, 3].mean() == pytest.approx(0.0, abs=0.1)
    assert found.theta[:, 3].std() == pytest.approx(np.sqrt((found.spread**2).mean()), rel=0.05)


def test_always_a_is_a_position_effect_and_no_scale() -> None:
    rows = [(a, b, 1, 1) if (a + b) % 2 else (b, a, 1, 1) for a in range(12) for b in range(a + 1, 12)]
    found = drawn(gathered(12, rows))
    assert found.position.mean() > 2.5  # its prior has a deviation of 1
    assert np.abs(found.theta.mean(axis=0)).max() < 0.5


def test_answers_that_differ_on_every_repeat_leave_next_to_no_repeatability() -> None:
    unequal = gathered(6, [(a, b, 4, 2) for a in range(6) for b in range(a + 1, 6)])
    equal = gathered(6, [(a, b, 4, 4 * ((a + b) % 2)) for a in range(6) for b in range(a + 1, 6)])
    assert drawn(unequal).repeatability.mean() < 0.05
    assert drawn(equal).repeatability.mean() > 0.8


def test_without_repeats_the_repeatability_keeps_its_prior() -> None:
    found = drawn(simulated(8, 25, seed=5), size=20_000)
    # .35 Beta(1, 6) + .65 Beta(6, 1.5): mean .57, deviation .34.
    assert found.repeatability.mean() == pytest.approx(0.35 / 7 + 0.65 * 6 / 7.5, abs=0.01)
    assert (found.repeatability < 0.2).mean() == pytest.approx(0.35 * (1 - 0.8**6), abs=0.02)


def test_a_known_repeatability_is_taken_as_it_is() -> None:
    assert (drawn(THREE, repeatability=1.0).repeatability == 1.0).all()
    assert fit_judgements(THREE, repeatability=0.25).mean_repeatability == 0.25


def test_the_parameters_that_made_the_answers_are_found_again() -> None:
    rng = np.random.default_rng(11)
    theta = rng.normal(0, 1.5, 20)
    rows = []
    for a in range(20):
        for b in range(20):
            if a != b:
                chance = expit(theta[a] - theta[b] + 1.0)
                wins = 3 * int(rng.random() < chance) if rng.random() < 0.6 else int(rng.binomial(3, chance))
                rows.append((a, b, 3, wins))
    fit = fit_judgements(gathered(20, rows))
    assert fit.mean[-1] == pytest.approx(1.0, abs=0.35)
    assert fit.mean_repeatability == pytest.approx(0.6, abs=0.12)
    assert fit.spread == pytest.approx(theta.std(), abs=0.5)
    assert np.corrcoef(fit.mean[:-1], theta)[0, 1] > 0.95


@pytest.mark.parametrize("data", [simulated(8, 20, seed=6), simulated(12, 66, seed=7)], ids=["8 items", "12 items"])
def test_hamiltonian_moves_leave_the_posterior_as_it_is(data: Judgements, monkeypatch: pytest.MonkeyPatch) -> None:
    still = drawn(data, size=20_000)
    assert still.effective_size > 2_000  # importance sampling is exact here
    monkeypatch.setattr(module, "LEAST_EFFECTIVE", np.inf)
    moved = drawn(data, size=20_000)
    assert not np.array_equal(moved.theta, still.theta)
    assert moved.theta.mean(axis=0) == pytest.approx(still.theta.mean(axis=0), abs=0.1)
    assert moved.theta.std(axis=0) == pytest.approx(still.theta.std(axis=0), rel=0.07)
    assert moved.position.mean() == pytest.approx(still.position.mean(), abs=0.05)
    assert moved.position.std() == pytest.approx(still.position.std(), rel=0.07)
    assert moved.spread.mean() == pytest.approx(still.spread.mean(), rel=0.05)


def test_many_items_are_moved_to_where_a_plain_random_walk_finds_the_posterior(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = simulated(50, 300, seed=8)
    monkeypatch.setattr(module, "LEAST_EFFECTIVE", np.inf)
    found = drawn(data, size=4_000)
    mean, deviation = random_walk(data, steps=3_000, walkers=60)
    assert found.position.mean() == pytest.approx(mean[-2], abs=0.5 * deviation[-2])
    assert found.spread.mean() == pytest.approx(mean[-1], abs=0.5 * deviation[-1])
    apart = (found.theta.mean(axis=0) - mean[:-2]) / deviation[:-2]
    assert np.sqrt((apart**2).mean()) < 0.25
    assert (found.theta.std(axis=0) / deviation[:-2]).mean() == pytest.approx(1.0, abs=0.1)


def random_walk(data: Judgements, *, steps: int, walkers: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of theta, position and spread by random-walk Metropolis from the mode's neighbourhood."""
    rng = np.random.default_rng(9)
    fit = fit_judgements(data)
    n = data.n_items
    at = np.column_stack([np.tile(fit.mean, (walkers, 1)), np.full(walkers, np.log(fit.spread))])
    covariance = np.linalg.inv(fit.factors[int(np.argmax(fit.weights))].T)
    r = np.full(walkers, 0.5)

    def height(points: np.ndarray) -> np.ndarray:
        spread = np.exp(points[:, -1])
        prior = norm.logpdf(points[:, :n], 0, spread[:, None]).sum(axis=1) + norm.logpdf(points[:, n])
        return prior + norm.logpdf(spread, 0, 3) + points[:, -1] + log_likelihood(data, points[:, :-1], r)

    here, kept = height(at), []
    for step in range(steps):
        move = rng.standard_normal((walkers, n + 1)) @ covariance.T * (2.0 / np.sqrt(n))
        there = at + np.column_stack([move, 0.15 * rng.standard_normal(walkers)])
        high = height(there)
        accept = np.log(rng.random(walkers)) < high - here
        at, here = np.where(accept[:, None], there, at), np.where(accept, high, here)
        if step >= steps // 3 and step % 10 == 0:
            kept.append(np.column_stack([at[:, :-1], np.exp(at[:, -1])]))
    values = np.concatenate(kept)
    return values.mean(axis=0), values.std(axis=0)


def test_above_200_items_all_draws_differ() -> None:
    # Weights cut at their P^-1/2 left 22 different points of 500.
    found = drawn(simulated(220, 2_000, seed=10), size=500)
    assert len(np.unique(found.position)) == 500
