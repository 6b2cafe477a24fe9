"""The LOWER5 profile: the ten pairs of the five lowest ENG5 anchors."""

from __future__ import annotations

import pytest

from tests.services.lps.suites.profiles import (
    Played,
    Suite,
    play,
    require_counts,
    require_guardrails,
    require_latency,
    require_shares,
    require_tokens,
    summary_of,
)
from tests.services.lps.suites.targets import EMBEDDED, IN_A_HURRY, SERVED, Target
from tests.sides import LOWER5

SUITE = Suite(LOWER5, "eng5_lower5_gpt51_low", "test.llm.mock_parity.eng5_lower5.v1", budget_s=60)


def play_lower5(target: Target, mode: str | None = None, **settings: object) -> Played:
    batches = {"bos-eng5-lower5-mock-parity-001": SUITE.recorded_comparisons()}
    return play(target, SUITE, batches, mode=mode, queue_processing_mode="serial_bundle", **settings)


def hold(played: Played) -> None:
    live, recorded = summary_of(played.events), SUITE.recorded
    require_counts(live, 10)
    require_shares(live, recorded, within=0.30)
    require_tokens(live, SUITE)
    require_latency(live, recorded)
    require_guardrails(played)
    # Production stops at the shares, which seven of ten wrong winners can have as well. The recording has no
    # contradiction in it, and its mode gives another winner once in ten thousand batches.
    winners = [event.data.winning_essay() for event in played.events]
    assert winners == [event.data.winning_essay() for event in SUITE.recorded_events()]


@pytest.mark.parametrize(("target", "settings"), [(EMBEDDED, {}), (SERVED, IN_A_HURRY)], ids=["embedded", "served"])
def test_the_mock_answers_as_recorded(target: Target, settings: dict[str, int]) -> None:
    hold(play_lower5(target, **settings))


@pytest.mark.parametrize("wrong", ["coin", "inverted", "always_a", "instant", "slow_x1_5", "tokens_x1_4"])
def test_a_mock_that_is_wrong_does_not_pass(wrong: str) -> None:
    with pytest.raises((AssertionError, TimeoutError)):
        hold(play_lower5(EMBEDDED, f"{SUITE.mode}+{wrong}"))
