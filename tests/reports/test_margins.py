"""Margins in words, and the ones that a recording supports."""

from __future__ import annotations

import json
from functools import cache

import pytest
import yaml

from cj_pipeline.cli.tolerances import _entry
from cj_pipeline.parity.compare import validate_tolerances
from cj_pipeline.parity.gates import GATES
from cj_pipeline.parity.margins import REASONS, Proposal, limits_in_words, proposed
from cj_pipeline.traces.scenario import Profile, Scenario
from tests.sides import LADDER, LOWER5, recorded, scenario


@cache
def proposals(scenario_id: str) -> dict[str, Proposal]:
    return {one.gate.name: one for one in proposed(scenario(scenario_id), recorded(scenario_id))}


def test_every_margin_has_a_reason() -> None:
    assert set(REASONS) == {gate.name for gate in GATES}


@pytest.mark.parametrize(
    ("limits", "unit", "words"),
    [
        ({"difference": 0.1}, "share", "0.1 share"),
        ({"difference": 0.1, "at_least_a": 0.9}, "share", "0.1 share; live at least 0.9"),
        ({"share": 0.1, "slack_ms": 2.0}, "ms", "10 %, at least 2 ms"),
        ({"above_ms": 100.0, "at_least_share": 0.5, "slack_ms": 5.0}, "ms", "-50 % and 5 ms to +100 ms"),
    ],
)
def test_limits_are_said_in_words(limits: dict[str, float], unit: str, words: str) -> None:
    assert limits_in_words(limits, unit) == words


def test_a_margin_that_the_recording_supports_is_the_profile_s() -> None:
    share = proposals(LADDER)["winner_share"]
    assert share.limits == {"difference": 0.2}
    assert share.reason.startswith("the profile's, since ")


def test_a_margin_below_the_noise_is_widened_to_it_and_says_so() -> None:
    agreement = proposals(LADDER)["answer_agreement"]
    assert 0.05 < agreement.limits["difference"] < 0.3
    assert agreement.reason.startswith("noise of 66 answers is -0.")
    assert agreement.reason.endswith("the profile's 0.05 share is less")
    given = proposals(LOWER5)["answer_agreement"]  # a judge that is stated to repeat itself leaves nothing to chance
    assert given.limits["difference"] == 0.05


def test_a_floor_of_the_scenario_stays() -> None:
    assert proposals(LADDER)["anchor_tau"].limits["at_least_tau"] == 0.90


def test_production_s_latency_is_widened_on_the_side_that_needs_it() -> None:
    mean = proposals(LADDER)["latency_mean"].limits
    assert mean["above_ms"] > 100
    assert mean["at_least_share"] == 0.5


@pytest.mark.parametrize(
    ("scenario_id", "profile"), [(LADDER, Profile.ENG5_ANCHOR), *((LOWER5, profile) for profile in Profile)]
)
def test_the_printed_block_is_accepted_by_the_scenario(scenario_id: str, profile: Profile) -> None:
    of_profile = scenario(scenario_id).model_copy(update={"profile": profile, "tolerances": {}})
    block = "\n".join(["tolerances:", *map(_entry, proposed(of_profile, recorded(scenario_id)))])
    document = of_profile.model_dump(mode="json") | yaml.safe_load(block)
    with_block = Scenario.model_validate_json(json.dumps(document))
    assert len(with_block.tolerances) > 10
    validate_tolerances(with_block, "scenario.yaml")
