"""A limit belongs to what it allows, whatever a subtraction of two floats makes of it."""

from __future__ import annotations

import pytest

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.parity.compare import Verdict
from cj_pipeline.parity.samples import within
from cj_pipeline.runs.record import RunRecord
from tests.parity.test_every_check_can_fail import batches, changed, flipped, with_tokens
from tests.sides import ANCHORS, LOWER5, live, recorded, result


@pytest.mark.parametrize(("one", "other"), [(0.9, 0.7), (0.4, 0.2), (0.3, 0.1), (0.6, 0.4)])
def test_twenty_points_apart_is_within_twenty_points(one: float, other: float) -> None:
    # As floats, .9 - .7 is more than .2 and .6 - .4 is less.
    assert within(one - other, 0.2)
    assert within(other - one, 0.2)
    assert not within(one - other, 0.199)


def with_a_wins(record: RunRecord, wins: int) -> RunRecord:
    """The run with its first repeat won by A so many times of ten."""

    def first_batch(events: tuple) -> tuple:
        return tuple(
            event.model_copy(
                update={"data": event.data.model_copy(update={"winner": Winner.A if number < wins else Winner.B})}
            )
            for number, event in enumerate(events)
        )

    return batches(record, first_batch)


@pytest.mark.parametrize(
    ("wins", "verdict"),
    # Recorded: 4 of 10. Production: B at least as often as A, and within 20 points.
    [(1, Verdict.FAIL), (2, Verdict.PASS), (4, Verdict.PASS), (5, Verdict.PASS), (6, Verdict.FAIL)],
)
def test_a_repeat_may_be_twenty_points_off_and_no_more(wins: int, verdict: Verdict) -> None:
    assert result(LOWER5, "repeat_share", with_a_wins(live(LOWER5), wins)).verdict is verdict


@pytest.mark.parametrize(
    ("prompt_tokens", "verdict"),
    # Recorded mean 1445.5, 15 %: up to 1662.325.
    [(1662, Verdict.PASS), (1663, Verdict.FAIL), (1229, Verdict.PASS), (1228, Verdict.FAIL)],
)
def test_tokens_may_be_fifteen_percent_off_and_no_more(prompt_tokens: int, verdict: Verdict) -> None:
    wrong = changed(live(ANCHORS), with_tokens(prompt_tokens=prompt_tokens))
    assert result(ANCHORS, "tokens_prompt", wrong).verdict is verdict


def test_a_share_may_be_thirty_points_off_on_lower5() -> None:
    # 4 of 10 recorded; 7 of 10 in every live batch are exactly 30 points more.
    order = [c.winner for c in live(LOWER5).callbacks]
    to_flip = [number for number, winner in enumerate(order) if winner is Winner.B][:3]
    ids = {live(LOWER5).callbacks[number].essay_ids() for number in to_flip}
    seven = changed(live(LOWER5), lambda data: flipped(data) if data.essay_ids() in ids else data)
    outcome = result(LOWER5, "winner_share", seven).outcome
    assert outcome is not None
    assert (outcome.live, outcome.passed) == (pytest.approx(0.7), True)
    assert result(LOWER5, "winner_share", recorded(LOWER5)).verdict is Verdict.PASS
