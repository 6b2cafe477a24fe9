"""The generic profile: one pair again and again, always won by Essay A."""

from __future__ import annotations

import pytest

from cj_pipeline.contracts.enums import Winner
from tests.services.lps.suites.profiles import (
    Asked,
    Played,
    Suite,
    play,
    require_counts,
    require_guardrails,
    require_latency,
    require_mode,
    require_tokens,
    share,
    summary_of,
)
from tests.services.lps.suites.targets import EMBEDDED, SERVED, Target
from tests.sides import GENERIC

PAIR = Asked("essay-a-generic", "essay-b-generic")

PARITY = Suite(GENERIC, "cj_generic_batch", "test.llm.mock_parity.generic.v1", budget_s=30)
COVERAGE = Suite(GENERIC, "cj_generic_batch", "test.llm.mock_parity.generic.coverage.v1", budget_s=60)

BATCHES, EACH = 3, 12


def play_parity(target: Target, mode: str | None = None) -> Played:
    """As many comparisons as were recorded, of the pair that was recorded."""
    asked = PARITY.recorded_comparisons()
    assert asked == [PAIR] * PARITY.recorded.total_events
    batches = {"bos-cj-generic-mock-parity-001": asked}
    return play(target, PARITY, batches, mode=mode, queue_processing_mode="serial_bundle")


def hold_parity(played: Played) -> None:
    live, recorded = summary_of(played.events), PARITY.recorded
    assert recorded.winner_counts == {"Essay A": recorded.success_count}, "the recording itself is not all A"
    require_counts(live, recorded.total_events)
    # Production lets one in ten go to B; the recording has none of them.
    assert share(live, Winner.A) == 1.0
    require_tokens(live, PARITY)
    require_latency(live, recorded)
    require_guardrails(played)


@pytest.mark.parametrize("target", [EMBEDDED, SERVED], ids=lambda target: target.name)
def test_the_mock_answers_as_recorded(target: Target) -> None:
    hold_parity(play_parity(target))


@pytest.mark.parametrize("target", [EMBEDDED, SERVED], ids=lambda target: target.name)
def test_three_batches_of_twelve_are_all_won_by_a_and_use_the_same_tokens(target: Target) -> None:
    batches = {f"bos-cj-generic-mock-coverage-{number:03d}": [PAIR] * EACH for number in range(1, BATCHES + 1)}
    played = play(target, COVERAGE, batches, queue_processing_mode="serial_bundle")
    for batch in played.batches:
        require_counts(summary_of(batch), EACH)
        assert share(summary_of(batch), Winner.A) == 1.0
    whole = summary_of(played.events)
    require_counts(whole, BATCHES * EACH)
    require_tokens(whole, COVERAGE)
    require_latency(whole, COVERAGE.recorded)
    for kind in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert len({getattr(summary_of(batch).token_usage, kind).mean for batch in played.batches}) == 1
    require_guardrails(played)


def test_a_suite_against_another_mode_says_so_instead_of_passing() -> None:
    async def work() -> None:
        async with EMBEDDED.service("default") as endpoint:
            await require_mode(endpoint, PARITY.mode)

    with pytest.raises(AssertionError):
        EMBEDDED.run(work())


@pytest.mark.parametrize("wrong", ["coin", "tokens_x1_4"])
def test_a_mock_that_is_wrong_does_not_pass(wrong: str) -> None:
    with pytest.raises((AssertionError, TimeoutError)):
        hold_parity(play_parity(EMBEDDED, f"{PARITY.mode}+{wrong}"))
