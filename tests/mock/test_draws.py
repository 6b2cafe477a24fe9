from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from math import exp, log
from statistics import NormalDist, fmean, median, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.mock import answers as mock_draws
from cj_pipeline.mock.answers import Draws
from cj_pipeline.mock.mode.mode import AbilityWinner, Mode
from tests.services.lps.lab import correlation_id, mode, queued


def draws(number: int = 0, attempt: int = 0, seed: int = 42) -> Draws:
    return Draws(seed, str(correlation_id(number)), attempt)


def winners(of: Mode, count: int, **request: object) -> list[Winner]:
    return [mock_draws.winner(of, queued(number, **request), draws(number)) for number in range(count)]


def share_of_a(of: Mode, count: int, **request: object) -> float:
    return winners(of, count, **request).count(Winner.A) / count


def ability_mode(**winner: object) -> Mode:
    section = {"model": "ability", "abilities": {"essay-1": 1.0, "essay-2": 0.0}}
    return mode(winner=section | {"unknown_spread": {"mean": 0.0, "sd": 1.0}} | winner)


def test_always_means_always():
    assert share_of_a(mode("cj_generic_batch"), 50) == 1.0


@pytest.mark.parametrize(("modulus", "a_below"), [(2, 1), (66, 35), (10, 4), (10, 0), (10, 10)])
def test_hash_share_is_productions_split_of_the_prompt(modulus, a_below):
    of = mode(winner={"model": "hash_share", "modulus": modulus, "a_below": a_below})
    for number in range(50):
        prompt = f"essays {number}"
        is_a = int(sha256(prompt.encode()).hexdigest()[:8], 16) % modulus < a_below
        assert mock_draws.winner(of, queued(number, prompt=prompt), draws(number)) is (Winner.A if is_a else Winner.B)


def test_hash_share_depends_on_the_prompt_alone():
    of = mode("production_hash_anchor")
    assert len(set(winners(of, 20, prompt="the same prompt"))) == 1


def test_a_coin_falls_as_often_as_it_says():
    assert share_of_a(mode(winner={"model": "coin", "share_a": 0.0}), 50) == 0.0
    assert share_of_a(mode(winner={"model": "coin", "share_a": 1.0}), 50) == 1.0
    # 2000 draws: a standard error of .010, so .03 is three of them; the draws are fixed, so this cannot flicker.
    assert share_of_a(mode(winner={"model": "coin", "share_a": 0.3}), 2000) == pytest.approx(0.3, abs=0.03)


def test_ability_is_the_bradley_terry_model():
    of = ability_mode()
    assert isinstance(of.winner, AbilityWinner)
    # 1 / (1 + e^-1) = .7311
    assert mock_draws.probability_of_a(of.winner, of.name, "essay-1", "essay-2") == pytest.approx(0.7310586)
    assert mock_draws.probability_of_a(of.winner, of.name, "essay-2", "essay-1") == pytest.approx(1 - 0.7310586)
    assert share_of_a(of, 2000) == pytest.approx(0.731, abs=0.03)


def test_position_effect_favours_a_and_temperature_flattens():
    tilted = ability_mode(position_effect=0.5, temperature=2.0).winner
    assert isinstance(tilted, AbilityWinner)
    # 1 / (1 + e^-((1 - 0 + .5) / 2)) = .6792
    assert mock_draws.probability_of_a(tilted, "any", "essay-1", "essay-2") == pytest.approx(0.6791787)


def test_a_tiny_temperature_makes_the_better_essay_win_always():
    assert share_of_a(ability_mode(temperature=1e-9), 50) == 1.0


def test_inversion_answers_the_exact_opposite():
    for name in ("default", "cj_generic_batch", "production_hash_anchor", "default+coin"):
        straight, inverted = winners(mode(name), 40), winners(mode(f"{name}+inverted"), 40)
        assert all(one is not other for one, other in zip(straight, inverted, strict=True))


UNKNOWN = "an essay that no one listed"
# Keyed by mode name and item id alone, so it is a fact about the product: a change here moves every unlisted essay.
UNKNOWN_THETA = 1.1374940


def test_an_unlisted_essay_has_one_ability_for_ever():
    of = ability_mode().winner
    assert isinstance(of, AbilityWinner)
    assert mock_draws.ability(of, "default", UNKNOWN) == pytest.approx(UNKNOWN_THETA)
    assert mock_draws.ability(of, "another_mode", UNKNOWN) != pytest.approx(UNKNOWN_THETA)
    assert mock_draws.ability(of, "default", "essay-1") == 1.0


def test_an_unlisted_essay_has_the_same_ability_in_another_process():
    code = (
        "from cj_pipeline.mock.mode.mode import AbilityWinner\n"
        "from cj_pipeline.mock.answers import ability\n"
        "m = AbilityWinner(model='ability', abilities={}, unknown_spread={'mean': 0.0, 'sd': 1.0})\n"
        f"print(ability(m, 'default', {UNKNOWN!r}))\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(told) == pytest.approx(UNKNOWN_THETA)


def test_unlisted_abilities_follow_their_spread():
    of = ability_mode(unknown_spread={"mean": 2.0, "sd": 0.5}).winner
    assert isinstance(of, AbilityWinner)
    fitted = NormalDist.from_samples([mock_draws.ability(of, "default", f"item {number}") for number in range(1000)])
    assert fitted.mean == pytest.approx(2.0, abs=0.05)
    assert fitted.stdev == pytest.approx(0.5, abs=0.05)
    level = ability_mode(unknown_spread={"mean": 2.0, "sd": 0}).winner
    assert isinstance(level, AbilityWinner)
    assert mock_draws.ability(level, "default", "any") == 2.0


@pytest.mark.parametrize("metadata", [{}, {"essay_a_id": "essay-1"}, {"essay_a_id": "essay-1", "essay_b_id": None}])
def test_an_ability_without_essay_ids_is_a_validation_error(metadata):
    with pytest.raises(ProviderError, match="lacks essay_a_id or essay_b_id") as raised:
        mock_draws.winner(ability_mode(), queued(metadata=metadata), draws())
    assert raised.value.failure.code is ErrorCode.VALIDATION_ERROR
    assert not raised.value.failure.worth_retrying


@pytest.mark.parametrize(
    ("probability", "value"), [(0.0, 1000.0), (0.25, 1250.0), (0.5, 1500.0), (0.75, 1950.0), (0.999999, 2400.0)]
)
def test_quantiles_are_joined_by_straight_lines(probability, value):
    assert mock_draws.inverse_cdf((1000.0, 1500.0, 2400.0), probability) == pytest.approx(value, abs=0.01)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30).map(sorted), st.floats(0, 1, exclude_max=True))
def test_a_quantile_lies_between_its_neighbours(values, probability):
    low = int(probability * (len(values) - 1))
    drawn = mock_draws.inverse_cdf(values, probability)
    assert values[low] <= drawn <= values[low + 1] * (1 + 1e-12)


@pytest.mark.parametrize(
    ("latency", "low", "mean", "high"),
    [
        ({"model": "constant", "ms": 12.4}, 12, 12, 12),
        ({"model": "constant", "ms": 100, "scale": 1.5}, 150, 150, 150),
        ({"model": "uniform", "low_ms": 1200, "high_ms": 2000}, 1200, 1600, 2000),
        # Two straight pieces of equal weight: (1250 + 1950) / 2.
        ({"model": "quantiles", "ms": [1000, 1500, 2400]}, 1000, 1600, 2400),
        ({"model": "quantiles", "ms": [1000, 1500, 2400], "scale": 0}, 0, 0, 0),
    ],
)
def test_latencies_follow_their_model(latency, low, mean, high):
    of = mode(latency=latency)
    drawn = [mock_draws.latency_ms(of, draws(number)) for number in range(2000)]
    assert min(drawn) >= low
    assert max(drawn) <= high
    assert fmean(drawn) == pytest.approx(mean, abs=30)


def lognormal(**keys: float) -> Mode:
    return mode(latency={"model": "lognormal", **keys})


@pytest.mark.parametrize("keys", [{"median_ms": 1600.0}, {"mean_ms": 1600.0 * exp(0.5 * 0.5**2)}])
def test_a_lognormal_latency_has_its_median_its_mean_and_its_sigma(keys):
    of = lognormal(**keys, sigma=0.5)
    drawn = [mock_draws.latency_ms(of, draws(number)) for number in range(4000)]
    assert median(drawn) == pytest.approx(1600, rel=0.03)
    assert fmean(drawn) == pytest.approx(1813, rel=0.03)  # 1600 x e^.125
    assert stdev(log(ms) for ms in drawn) == pytest.approx(0.5, rel=0.05)
    # The 95th percentile of a normal distribution lies 1.645 standard deviations above its mean: 1600 x e^.822.
    assert sorted(drawn)[3800] == pytest.approx(3641, rel=0.05)


def test_a_lognormal_latency_stays_within_its_bounds():
    of = lognormal(median_ms=1600, sigma=1.0, min_ms=1000, max_ms=2500)
    drawn = [mock_draws.latency_ms(of, draws(number)) for number in range(1000)]
    assert (min(drawn), max(drawn)) == (1000, 2500)
    assert median(drawn) == pytest.approx(1600, rel=0.05)


def test_a_lognormal_latency_without_spread_is_its_median():
    assert mock_draws.latency_ms(lognormal(median_ms=1600, sigma=0, scale=1.5), draws()) == 2400
    assert mock_draws.latency_ms(lognormal(mean_ms=1600, sigma=0), draws()) == 1600


def test_the_least_of_all_draws_still_has_a_lognormal_latency(monkeypatch):
    monkeypatch.setattr(Draws, "uniform", lambda self, purpose: 0.0)
    # 2^-54 lies 8.29 standard deviations below the mean: 1600 x e^-4.15.
    assert mock_draws.latency_ms(lognormal(median_ms=1600, sigma=0.5), draws()) == 25


@pytest.mark.parametrize(
    ("prompt", "section", "scale", "tokens"),
    [
        ("one two three four five", {"model": "words", "per_word": 0.75}, 1.0, 4),  # ceil(3.75)
        ("", {"model": "words", "per_word": 0.75}, 1.0, 1),
        ("one two", {"model": "words", "per_word": 0.75, "floor": 1100}, 1.0, 1100),
        ("one two", {"model": "words", "per_word": 0.75, "floor": 1100}, 1.4, 1540),
        ("one two", {"model": "constant", "tokens": 5}, 1.0, 5),
        ("any", {"model": "per_item", "base": 200, "items": {"essay-1": 600.4}, "unknown": 500}, 1.0, 1300),
        ("any", {"model": "per_item", "base": -2000, "items": {}, "unknown": 500}, 1.0, 0),
    ],
)
def test_prompt_tokens_follow_their_model(prompt, section, scale, tokens):
    completion = {"model": "constant", "tokens": 1}
    of = mode(tokens={"prompt": section, "completion": completion, "scale": scale})
    assert mock_draws.prompt_tokens(of, queued(prompt=prompt)) == tokens


@pytest.mark.parametrize(
    ("section", "scale", "tokens"),
    [
        ({"model": "words", "per_word": 0.75, "extra": 10}, 1.0, {16}),  # ceil(8 x .75) + 10
        ({"model": "words", "per_word": 0.75, "extra": 10, "floor": 40}, 1.0, {40}),
        ({"model": "constant", "tokens": 17}, 1.4, {24}),  # 23.8
        ({"model": "quantiles", "tokens": [33, 35, 36]}, 1.0, {33, 34, 35, 36}),
    ],
)
def test_completion_tokens_follow_their_model(section, scale, tokens):
    of = mode(tokens={"prompt": {"model": "constant", "tokens": 1}, "completion": section, "scale": scale})
    text = "eight words stand in this sentence of ours"
    assert {mock_draws.completion_tokens(of, text, draws(number)) for number in range(100)} == tokens


def test_confidence_is_on_the_wires_own_scale():
    of = mode()
    drawn = [mock_draws.confidence(of, draws(number)) for number in range(500)]
    assert min(drawn) >= 4.2
    assert max(drawn) <= 4.8
    assert fmean(drawn) == pytest.approx(4.5, abs=0.03)  # production's own mock centres on 4.6


def test_confidence_never_leaves_1_to_5():
    wild = mode(confidence={"model": "jitter", "base": 3.0, "jitter": 10.0})
    drawn = [mock_draws.confidence(wild, draws(number)) for number in range(200)]
    assert (min(drawn), max(drawn)) == (1.0, 5.0)


def test_confidence_may_follow_recorded_quantiles():
    of = mode(confidence={"model": "quantiles", "values": [3.0, 4.0]})
    drawn = [mock_draws.confidence(of, draws(number)) for number in range(500)]
    assert fmean(drawn) == pytest.approx(3.5, abs=0.05)


def test_each_seed_request_attempt_and_purpose_draws_for_itself():
    one = draws().uniform("latency")
    assert one == draws().uniform("latency")
    others = [draws(1), draws(attempt=1), draws(seed=43)]
    assert len({one, draws().uniform("winner"), *(other.uniform("latency") for other in others)}) == 5


def test_what_is_drawn_for_one_purpose_tells_nothing_about_another():
    of = mode("production_hash_anchor+coin")
    took: dict[Winner, list[int]] = {Winner.A: [], Winner.B: []}
    for number in range(1000):
        took[mock_draws.winner(of, queued(number), draws(number))].append(mock_draws.latency_ms(of, draws(number)))
    # Evenly between 1200 and 2000 ms: a standard deviation of 231, so 10 ms on the mean of 500; 40 is about three of
    # the difference's.
    assert fmean(took[Winner.A]) == pytest.approx(fmean(took[Winner.B]), abs=40)
