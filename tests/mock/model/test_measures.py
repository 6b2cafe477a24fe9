"""Latency, tokens and confidence: what belongs together stays together, and nothing is surer than the data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from cj_pipeline.mock.model.measures import MeasureDraws, MeasureFit, draw_measures, fit_measures

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


def test_drawn_latencies_have_the_recorded_mean_and_spread_and_are_a_little_less_certain_than_theory_says() -> None:
    latency = lognormal()
    means = drawn(fitted(latency), draws=2_000).latency_ms.mean(axis=1)
    assert means.mean() == pytest.approx(latency.mean(), rel=0.01)
    # A mean of 300 around a mean known from 300 has 2 / N. The draws have 3 / N, a location and a resample: without
    # the location a faithful run of 10 recorded answers failed in 2.2 % of cases, with it in .5 %.
    assert means.std() == pytest.approx(latency.std() * np.sqrt(3 / N), rel=0.1)
    assert drawn(fitted(latency)).latency_ms.std(axis=1).mean() == pytest.approx(latency.std(), rel=0.08)


def test_latency_keeps_its_link_to_tokens() -> None:
    tokens = np.round(40 * np.exp(0.3 * np.random.default_rng(8).standard_normal(N)))
    linked = drawn(fitted(30 * tokens, tokens))
    free = drawn(fitted(lognormal(), tokens))

    def link(draws: MeasureDraws) -> float:
        return float(
            np.mean(
                [np.corrcoef(np.log(draws.latency_ms[i]), np.log(draws.completion_tokens[i]))[0, 1] for i in range(50)]
            )
        )

    assert link(linked) > 0.8
    assert abs(link(free)) < 0.15


@pytest.mark.parametrize("sign", [1, -1])
def test_confidence_keeps_its_link_to_the_gap(sign: int) -> None:
    gap = np.abs(RNG.standard_normal(N))
    confidence = np.round(2 * (3 + sign * np.clip(gap + 0.5 * RNG.standard_normal(N), -1, 1.9))) / 2
    recorded = spearmanr(confidence, gap).statistic
    found = drawn(fitted(lognormal(), confidence=confidence, gap=gap)).confidence
    links = [spearmanr(row, gap).statistic for row in found[:100]]
    assert np.mean(links) == pytest.approx(recorded, abs=0.12)


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


def test_neighbours_that_are_alike_are_drawn_in_blocks_and_make_the_mean_less_certain() -> None:
    load = np.repeat(np.random.default_rng(2).standard_normal(N // 15), 15)
    noise = 0.1 * np.random.default_rng(3).standard_normal(N)
    together = np.round(1500 * np.exp(0.4 * load + noise))
    shuffled = np.random.default_rng(4).permutation(together)
    assert fitted(shuffled).block == 1
    assert fitted(together).block > 5
    spread = [drawn(fitted(one), draws=1_000).latency_ms.mean(axis=1).std() for one in (together, shuffled)]
    assert spread[0] > 2 * spread[1]


def test_an_answer_of_the_recording_is_drawn_as_often_as_the_bayesian_bootstrap_says() -> None:
    # Over many draws each of n recorded answers has the same share; within one draw, a Dirichlet share: its variance
    # is that of n - 1 more uniform variables.
    values = np.arange(1.0, 11.0) * 1_000_000
    found = drawn(fitted(values), draws=4_000, gap=np.zeros(200))
    nearest = found.latency_ms.mean(axis=1)
    assert nearest.std() > 0.2 * values.std()


def test_equal_seeds_draw_equal_measures() -> None:
    fit = fitted(lognormal())
    assert np.array_equal(drawn(fit).latency_ms, drawn(fit).latency_ms)
