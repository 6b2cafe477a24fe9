"""The built-in ENG5 modes say that they are fitted to a trace; here every number of theirs is fitted again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import yaml
from scipy.optimize import brentq
from scipy.special import expit

from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.mode import AbilityWinner, PerItemTokens, QuantileConfidence, QuantileLatency, QuantileTokens
from tests.sides import ANCHORS, LADDER, LOWER5, recorded, scenario, trace

FITTED = [(ANCHORS, "eng5_anchor_gpt51_low"), (LOWER5, "eng5_lower5_gpt51_low"), (LADDER, "eng5_anchor_ladder")]


def quantiles(values: list[float], most: int) -> list[float]:
    """At equally spaced probabilities, as many as there are values and at most so many."""
    return np.quantile(values, np.linspace(0, 1, min(len(values), most))).tolist()


@pytest.mark.parametrize(("scenario_id", "name"), FITTED)
def test_a_mode_names_the_trace_it_is_fitted_to(scenario_id: str, name: str) -> None:
    fitted_from = load_mode(name).fitted_from
    assert fitted_from is not None
    assert (fitted_from.scenario_id, fitted_from.trace_sha256) == (scenario_id, trace(scenario_id).sha256)
    assert scenario(scenario_id).mode == name


@pytest.mark.parametrize(("scenario_id", "name"), FITTED)
def test_abilities_are_the_production_scores_of_the_trace(scenario_id: str, name: str) -> None:
    winner = load_mode(name).winner
    assert isinstance(winner, AbilityWinner)
    scores = {row.essay_id: row.theta for row in recorded(scenario_id).document.fit.essays}
    assert winner.abilities == pytest.approx(scores, abs=5e-5)
    assert winner.unknown_spread.sd == pytest.approx(np.std(list(scores.values()), ddof=1), abs=5e-5)


@pytest.mark.parametrize(
    ("scenario_id", "name", "upsets"), [(ANCHORS, "eng5_anchor_gpt51_low", 1), (LADDER, "eng5_anchor_ladder", 0)]
)
def test_temperature_lets_the_judge_contradict_itself_as_often_as_it_did(
    scenario_id: str, name: str, upsets: int
) -> None:
    winner = load_mode(name).winner
    assert isinstance(winner, AbilityWinner)
    scores = {row.essay_id: row.theta for row in recorded(scenario_id).document.fit.essays}
    pairs = [callback.essay_ids() for callback in recorded(scenario_id).callbacks]
    gaps = np.array([abs(scores[first] - scores[second]) for first, second in pairs])
    best = brentq(lambda temperature: expit(-gaps / temperature).sum() - (upsets + 0.5), 0.01, 5)
    assert winner.temperature == pytest.approx(best, rel=1e-3)


def test_lower5_never_changes_its_mind_about_a_pair() -> None:
    winner = load_mode("eng5_lower5_gpt51_low").winner
    assert isinstance(winner, AbilityWinner)
    theta = sorted(winner.abilities.values())
    flips = sum(expit(-(high - low) / winner.temperature) for low, high in pairwise(theta))
    assert flips < 2e-4


@pytest.mark.parametrize(("scenario_id", "name"), FITTED)
def test_latency_confidence_and_answers_are_the_quantiles_of_the_trace(scenario_id: str, name: str) -> None:
    mode, callbacks = load_mode(name), recorded(scenario_id).callbacks
    assert isinstance(mode.latency, QuantileLatency)
    assert isinstance(mode.confidence, QuantileConfidence)
    assert isinstance(mode.tokens.completion, QuantileTokens)
    assert mode.latency.ms == pytest.approx(quantiles([c.response_time_ms for c in callbacks], 21), abs=0.051)
    assert mode.confidence.values == pytest.approx(quantiles([c.confidence or 0 for c in callbacks], 11), abs=0.0051)
    written = quantiles([c.token_usage.completion_tokens for c in callbacks], 11)
    assert mode.tokens.completion.tokens == pytest.approx(written, abs=0.051)


@pytest.mark.parametrize(("scenario_id", "name"), FITTED)
def test_prompt_tokens_are_those_that_the_trace_assumes_for_each_essay(scenario_id: str, name: str) -> None:
    prompt = load_mode(name).tokens.prompt
    assert isinstance(prompt, PerItemTokens)
    assumed = yaml.safe_load((trace(scenario_id).folder / "published.yaml").read_text())["assumed"]
    by_label = {item.label: item.id for item in scenario(scenario_id).net.items}
    assert prompt.base == assumed["prompt_base_tokens"]
    assert prompt.items == {by_label[label]: tokens for label, tokens in assumed["essay_tokens"].items()}
    for callback in recorded(scenario_id).callbacks:
        first, second = callback.essay_ids()
        assert prompt.base + prompt.items[first] + prompt.items[second] == callback.token_usage.prompt_tokens
