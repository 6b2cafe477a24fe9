"""The anchor profile: all 66 pairs of the twelve ENG5 anchors."""

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
from tests.services.lps.suites.targets import EMBEDDED
from tests.sides import ANCHORS, scenario

SUITE = Suite(ANCHORS, "eng5_anchor_gpt51_low", "test.llm.mock_parity.eng5_anchor.v1", budget_s=120)


def play_anchors(mode: str | None = None) -> Played:
    batches = {"bos-eng5-anchor-mock-parity-001": SUITE.recorded_comparisons()}
    return play(EMBEDDED, SUITE, batches, mode=mode, queue_processing_mode="serial_bundle")


def hold(played: Played) -> None:
    live, recorded = summary_of(played.events), SUITE.recorded
    require_counts(live, 66)
    require_shares(live, recorded, within=0.20)
    require_tokens(live, SUITE)
    require_latency(live, recorded)
    require_guardrails(played)
    require_ranking(played)


def require_ranking(played: Played) -> None:
    """Of pairs of different grades the better one wins as often as it did in the recording, within 15 points.

    Production's suite looks at shares of `Essay A` alone, which a mock that tosses a coin has too.
    """
    apart = abs(_better_wins(played.events) - _better_wins(SUITE.recorded_events()))
    assert apart <= 0.15, f"{apart:.2f} from the recorded share of better essays that win"


def _better_wins(events) -> float:
    net = scenario(ANCHORS).net
    rank = {item.id: net.grade_scale.index(item.grade) for item in net.items}
    outcomes = []
    for event in events:
        essays = event.data.essay_ids()
        if rank[essays[0]] != rank[essays[1]]:
            outcomes.append(event.data.winning_essay() == min(essays, key=rank.__getitem__))
    return sum(outcomes) / len(outcomes)


def test_every_pair_of_the_anchors_is_asked_once() -> None:
    pairs = {frozenset((asked.essay_a, asked.essay_b)) for asked in SUITE.recorded_comparisons()}
    assert len(pairs) == 66 == 12 * 11 / 2
    assert {essay for pair in pairs for essay in pair} == {item.id for item in scenario(ANCHORS).net.items}


def test_the_mock_answers_as_recorded() -> None:
    hold(play_anchors())


@pytest.mark.parametrize("wrong", ["coin", "inverted", "always_a", "instant", "slow_x1_5", "tokens_x1_4"])
def test_a_mock_that_is_wrong_does_not_pass(wrong: str) -> None:
    with pytest.raises((AssertionError, TimeoutError)):
        hold(play_anchors(f"{SUITE.mode}+{wrong}"))
