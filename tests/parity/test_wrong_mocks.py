"""Which checks does each wrong mock fail? That right ones are accepted: tests/runs/test_scenario_verdicts.py."""

from __future__ import annotations

import pytest

from cj_pipeline.parity.compare import BY_NAME
from tests.sides import ANCHORS, GENERIC, LADDER, LOWER5, SCENARIOS, failed

ENG5 = (ANCHORS, LADDER, LOWER5)
ABOUT_ANSWERS = {"judgements", "engine", "repeats"}


def groups(names: set[str]) -> set[str]:
    """What some checks are about."""
    return {BY_NAME[name].group for name in names}


@pytest.mark.parametrize("scenario_id", ENG5)
def test_a_coin_fails_on_pairs_and_on_known_grades(scenario_id: str) -> None:
    red = failed(scenario_id, "+coin")
    assert red >= {"answer_agreement", "anchor_tau", "inversions"}
    assert groups(red) <= ABOUT_ANSWERS


def test_a_coin_among_five_essays_fails_on_these_checks() -> None:
    red = {"answer_agreement", "anchor_tau", "inversions", "repeatability", "repeat_share", "repeat_winners"}
    assert failed(LOWER5, "+coin") >= red


@pytest.mark.parametrize("scenario_id", [ANCHORS, LADDER])
def test_a_coin_fails_on_ranks_where_there_are_enough_of_them(scenario_id: str) -> None:
    # Of five essays a coin gets an order within the tolerance too often for rank_agreement to be asked of LOWER5.
    assert "rank_agreement" in failed(scenario_id, "+coin")


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_an_inverted_ranking_fails_on_ranks(scenario_id: str) -> None:
    red = failed(scenario_id, "+inverted")
    assert red >= {"answer_agreement", "rank_agreement"}
    assert groups(red) <= ABOUT_ANSWERS


@pytest.mark.parametrize("scenario_id", ENG5)
def test_a_mock_that_answers_at_once_fails_on_latency_and_on_nothing_else(scenario_id: str) -> None:
    red = failed(scenario_id, "+instant")
    # Ten answers (LOWER5) do not show how wide the distribution is: the distance to it has more noise than 100 %.
    assert red >= {"latency_mean", "latency_p95"}
    assert groups(red) == {"time"}


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_forty_percent_more_tokens_fail_on_tokens_and_on_nothing_else(scenario_id: str) -> None:
    red = failed(scenario_id, "+tokens_x1_4")
    assert red >= {"tokens_prompt", "tokens_total"}
    assert groups(red) == {"tokens"}


@pytest.mark.parametrize("scenario_id", ENG5)
def test_a_mock_that_always_says_a_fails_on_its_share(scenario_id: str) -> None:
    # It orders the essays as before: what the recording says of them is left where the live side says nothing.
    red = failed(scenario_id, "+always_a")
    assert red >= {"winner_share", "answer_agreement", "position_effect"}
    assert groups(red) <= ABOUT_ANSWERS


@pytest.mark.parametrize("scenario_id", [ANCHORS, LADDER])  # ten recorded latencies, as LOWER5 has, do not show it
def test_a_mock_half_as_slow_again_fails_on_its_latency(scenario_id: str) -> None:
    assert failed(scenario_id, "+slow_x1_5") >= {"latency_mean", "latency_p95", "latency_shape"}


@pytest.mark.parametrize(
    ("scenario_id", "mode"), [(ANCHORS, "production_hash_anchor"), (LOWER5, "production_hash_lower5")]
)
def test_productions_own_mock_fails_on_what_its_own_suite_never_asks(scenario_id: str, mode: str) -> None:
    # Its winner share passes here as it does there; who wins is a hash of the prompt.
    red = failed(scenario_id, mode)
    assert "winner_share" not in red
    assert red >= {"answer_agreement", "anchor_tau", "schema"}


def test_four_identical_answers_cannot_reveal_a_wrong_winner_rule_that_gives_them_too() -> None:
    assert failed(GENERIC, "+always_a") == set()
