"""Latency, tokens and confidence: what belongs together stays together, and nothing is surer than the data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from cj_pipeline.mock.model.measures import MeasureDraws, MeasureFit, draw_measures, fit_measures, normal_scores
from cj_pipeline.parity.statistics import link

RNG = np.random.default_rng(5)
N = 300


def fitted(
    latency: np.ndarray,
    tokens: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
    gap: np.ndarray | None = None,
) -> MeasureFit:
    n = len(latency)
    tokens = np.full(n, 40.0) if tokens is None else tokens
    confidence = np.full(n, 4.0) if confidence is None else confidence
    return fit_measures(latency, tokens, confidence, np.zeros(n) if gap is None else gap)


def drawn(fit: MeasureFit, *, draws: int = 400, gap: np.ndarray | None = None) -> MeasureDraws:
    return draw_measures(fit, draws, fit.gap if gap is None else gap, np.random.default_rng(1))


def lognormal(sigma: float = 0.4, n: int = N) -> np.ndarray:
    return np.round(1500 * np.exp(sigma * np.random.default_rng(5).standard_normal(n)))


def test_drawn_latencies_have_the_recorded_mean_and_spread_and_are_as_uncertain_as_theory_says() -> None:
    latency = lognormal()
    found = drawn(fitted(latency), draws=2_000).latency_ms
    means = found.mean(axis=1)
    assert means.mean() == pytest.approx(latency.mean(), rel=0.01)
    # A mean of 300 around a mean known from 300; the same of the deviation, with the kurtosis of a lognormal.
    assert means.std() == pytest.approx(latency.std() * np.sqrt(2 / N), rel=0.08)
    assert found.std(axis=1).mean() == pytest.approx(latency.std(), rel=0.08)


@pytest.mark.parametrize(("recorded", "live"), [(30, 30), (66, 66), (66, 400)])
def test_a_mean_is_as_uncertain_as_both_sides_together(recorded: int, live: int) -> None:
    latency = lognormal(n=recorded)
    means = drawn(fitted(latency), draws=2_000, gap=np.zeros(live)).latency_ms.mean(axis=1)
    # The middle two thirds: those of a judge that drifts lie outside.
    spread = np.diff(np.quantile(means, [0.16, 0.84]))[0] / 2
    assert spread == pytest.approx(latency.std() * np.sqrt(1 / recorded + 1 / live), rel=0.15)


def test_latency_keeps_its_link_to_tokens() -> None:
    tokens = np.round(40 * np.exp(0.3 * np.random.default_rng(8).standard_normal(N)))
    linked = drawn(fitted(30 * tokens, tokens))
    free = drawn(fitted(lognormal(), tokens))
    assert link(linked.latency_ms, linked.completion_tokens).mean() > 0.98
    assert abs(link(free.latency_ms, free.completion_tokens).mean()) < 0.15


@pytest.mark.parametrize("strength", [0.0, 0.5, 0.9])
def test_the_link_to_tokens_is_as_uncertain_as_both_sides_together(strength: float) -> None:
    rng, recorded, live = np.random.default_rng(3), 66, 198

    def answers(n: int) -> tuple[np.ndarray, np.ndarray]:
        own, other = rng.standard_normal((2, n))
        both = strength * own + np.sqrt(1 - strength**2) * other
        return np.round(1500 * np.exp(0.3 * own)), np.round(40 * np.exp(0.2 * both))

    spread: list[float] = []
    off: list[float] = []
    apart: list[float] = []
    for _ in range(60):
        latency, tokens = answers(recorded)
        found = draw_measures(fitted(latency, tokens), 200, np.zeros(live), rng)
        links, known = link(found.latency_ms, found.completion_tokens), link(latency[None], tokens[None])[0]
        spread.append(links.std())
        off.append(links.mean() - known)
        apart.extend(link(*(side[None] for side in answers(live)))[0] - known for _ in range(5))
    assert abs(np.mean(off)) < 0.015
    assert np.mean(spread) / np.std(apart) == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("sign", [1, -1])
def test_confidence_keeps_its_link_to_the_gap(sign: int) -> None:
    gap = np.abs(RNG.standard_normal(N))
    confidence = np.round(2 * (3 + sign * np.clip(gap + 0.5 * RNG.standard_normal(N), -1, 1.9))) / 2
    recorded = spearmanr(confidence, gap).statistic
    found = drawn(fitted(lognormal(), confidence=confidence, gap=gap)).confidence
    links = [spearmanr(row, gap).statistic for row in found[:100]]
    assert np.mean(links) == pytest.approx(recorded, abs=0.12)


def test_the_link_of_a_few_confidences_is_as_uncertain_as_theory_says() -> None:
    """Ties hide a part of a link: that of the recording is uncertain by more than one over the root of its answers."""
    rng, gap, values = np.random.default_rng(9), np.abs(np.random.default_rng(8).normal(0, 2, 66)), [1.0] * 4 + [5.0]
    repeated = np.tile(normal_scores(gap), 5)
    apart = []
    for _ in range(60):
        fit = fit_measures(lognormal(n=66), lognormal(n=66), rng.choice(values, 66), gap)
        drawn_ones = draw_measures(fit, 100, np.tile(gap, 5), rng).confidence
        live, *links = correlations(np.vstack([rng.choice(values, (1, 330)), drawn_ones]), repeated)
        apart.append((live - np.mean(links)) / np.std(links))
    assert 0.75 < float(np.std(apart)) < 1.25


def correlations(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    rows, values = rows - rows.mean(axis=1, keepdims=True), values - values.mean()
    return rows @ values / np.sqrt((rows**2).sum(axis=1) * (values**2).sum())


def test_without_spread_every_draw_is_the_same_value() -> None:
    found = drawn(fitted(np.full(N, 1234.0)))
    assert (found.latency_ms == 1234).all()
    assert (found.completion_tokens == 40).all()


def test_one_confidence_in_n_answers_does_not_make_another_one_impossible() -> None:
    found = drawn(fitted(lognormal(n=20)), draws=2_000).confidence
    assert 0 < (found != 4.0).mean() < 0.1
    assert ((found >= 1) & (found <= 5)).all()


def test_0_ms_stays_0_ms() -> None:
    assert (drawn(fitted(np.zeros(N))).latency_ms == 0).all()


def test_one_answer_can_be_fitted_and_drawn() -> None:
    found = drawn(fitted(np.array([800.0])), gap=np.zeros(5))
    assert found.latency_ms.shape == (400, 5)
    assert (found.latency_ms == 800).all()
    assert np.isfinite(found.confidence).all()


def test_neighbours_that_are_alike_are_drawn_alike_and_make_the_mean_less_certain() -> None:
    load = np.repeat(np.random.default_rng(2).standard_normal(N // 15), 15)
    noise = 0.1 * np.random.default_rng(3).standard_normal(N)
    together = np.round(1500 * np.exp(0.4 * load + noise))
    shuffled = np.random.default_rng(4).permutation(together)
    assert fitted(shuffled).slow[0].probable < 0.05
    assert fitted(together).slow[0].probable > 0.99
    found = [drawn(fitted(one), draws=1_000).latency_ms for one in (together, shuffled)]
    spread = [latency.mean(axis=1).std() for latency in found]
    assert spread[0] > 2 * spread[1]
    alike = [np.mean([spearmanr(row[:-1], row[1:])[0] for row in latency[:50]]) for latency in found]
    assert alike[0] > 0.4
    assert abs(alike[1]) < 0.1


def test_the_shape_of_a_draw_is_as_uncertain_as_ten_answers_leave_it() -> None:
    # One of ten answers was slow. In another recording of ten, none is in a third of cases, and two or more in a
    # quarter: many answers of one draw show which.
    found = drawn(fitted(np.array([1000.0] * 5 + [1010.0] * 4 + [9000.0])), draws=1_000, gap=np.zeros(400))
    middle = np.median(found.latency_ms, axis=1, keepdims=True)
    slow = (found.latency_ms > 3 * middle).mean(axis=1)
    assert 0.2 < (slow < 0.02).mean() < 0.5
    assert (slow > 0.12).mean() > 0.15


def test_equal_seeds_draw_equal_measures() -> None:
    fit = fitted(lognormal())
    assert np.array_equal(drawn(fit).latency_ms, drawn(fit).latency_ms)
