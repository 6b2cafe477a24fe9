"""The built-in ENG5 modes say that they are fitted to a trace; here they are fitted again."""

from __future__ import annotations

from itertools import pairwise

import pytest
import yaml
from scipy.special import expit

from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.mode import AbilityWinner, FittedFrom, Mode, PerItemTokens
from cj_pipeline.mock.model.fit_mode import mode_of
from tests.sides import ANCHORS, LADDER, LOWER5, recorded, scenario, trace

FITTED = [(ANCHORS, "eng5_anchor_gpt51_low"), (LOWER5, "eng5_lower5_gpt51_low"), (LADDER, "eng5_anchor_ladder")]


def fitted_again(scenario_id: str, name: str) -> Mode:
    of, known = scenario(scenario_id), scenario(scenario_id).judge
    mode = mode_of(
        [recorded(scenario_id).callbacks],
        [item.id for item in of.net.items],
        name=name,
        fitted_from=FittedFrom(scenario_id=scenario_id, trace_sha256=trace(scenario_id).sha256),
        repeatability=None if known is None else known.repeatability,
    )
    assert mode is not None
    return mode


@pytest.mark.parametrize(("scenario_id", "name"), FITTED)
def test_a_mode_is_the_fit_of_the_trace_that_it_names(scenario_id: str, name: str) -> None:
    mode, again = load_mode(name), fitted_again(scenario_id, name)
    assert scenario(scenario_id).mode == name
    changes: dict[str, object] = {"description": mode.description}
    if scenario_id == LOWER5:
        # Its scale and gaps are the production estimator's; its latencies are drawn apart: see the mode file.
        changes |= {"winner": mode.winner, "samples": mode.samples, "latency": mode.latency, "origins": mode.origins}
        assert [row[:3] for row in mode.samples] == [row[:3] for row in again.samples]
    assert mode == again.model_copy(update=changes)


@pytest.mark.parametrize("name", [name for _, name in FITTED])
def test_a_fitted_mode_says_where_its_numbers_come_from(name: str) -> None:
    mode = load_mode(name)
    assert {"winner.abilities", "winner.repeatability", "samples", "tokens.prompt", "cost", "errors"} <= set(
        mode.origins
    )


def test_lower5_has_the_production_scores_and_the_recorded_answers() -> None:
    winner, again = load_mode("eng5_lower5_gpt51_low").winner, fitted_again(LOWER5, "again").winner
    assert isinstance(winner, AbilityWinner)
    assert isinstance(again, AbilityWinner)
    scores = {row.essay_id: row.theta for row in recorded(LOWER5).document.fit.essays}
    assert winner.abilities == pytest.approx(scores, abs=5e-5)
    assert (winner.repeatability, winner.answers) == (1.0, again.answers)
    # A pair shown the other way round, which no recording answers, has the same winner but in 1 batch of 5,000.
    theta = sorted(winner.abilities.values())
    assert sum(expit(-(high - low) / winner.temperature) for low, high in pairwise(theta)) < 2e-4


@pytest.mark.parametrize(("scenario_id", "name"), FITTED)
def test_prompt_tokens_are_those_that_the_trace_assumes_for_each_essay(scenario_id: str, name: str) -> None:
    prompt = load_mode(name).tokens.prompt
    assert isinstance(prompt, PerItemTokens)
    assumed = yaml.safe_load((trace(scenario_id).folder / "published.yaml").read_text())["assumed"]
    by_label = {item.label: item.id for item in scenario(scenario_id).net.items}
    tokens = {by_label[label]: count for label, count in assumed["essay_tokens"].items()}
    for callback in recorded(scenario_id).callbacks:
        first, second = callback.essay_ids()
        told = prompt.base + prompt.items[first] + prompt.items[second]
        assert round(told) == callback.token_usage.prompt_tokens
        assert round(told) == assumed["prompt_base_tokens"] + tokens[first] + tokens[second]


@pytest.mark.parametrize(("scenario_id", "name"), FITTED)
def test_a_token_costs_what_it_cost(scenario_id: str, name: str) -> None:
    cost = load_mode(name).cost
    assert (cost.per_prompt_token, cost.per_completion_token) == (1.5e-5, 1.5e-5)
