"""Callbacks as a broker delivers them: in any order, some twice, some lost at first, some of nobody, some too late."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.engine.effects import CallbackKind, PoolChange, Taken
from cj_pipeline.engine.engine import advance, recover, start
from cj_pipeline.engine.intake import Delivery, MalformedCallback, NotSubmitted
from cj_pipeline.engine.invariants import check
from cj_pipeline.engine.state import Comparison, State, UploadStatus
from tests.engine.batches import (
    Judge,
    batch,
    callback,
    coin_decides,
    end_in,
    fails_in,
    higher_item_wins,
    orphan,
    taken_in,
    waves_in,
)
from tests.engine.batches import run as run_in_order

JUDGES = {"perfect": higher_item_wins, "random": coin_decides, "a third fails": fails_in(1 / 3)}
SETTINGS: dict[str, dict[str, object]] = {
    "small net": {"max_pairwise_comparisons": 40, "min_resampling_net_size": 4},
    "retries in mid-run": {"max_pairwise_comparisons": 40, "failed_comparison_retry_threshold": 2},
    "one wave": {"max_pairwise_comparisons": 12, "llm_batching_mode": "provider_batch_api"},
}


@cache
def in_order(number: int, judge: str, kind: str) -> State:
    return run_in_order(batch(number, **SETTINGS[kind]), JUDGES[judge])


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 7), st.sampled_from(sorted(JUDGES)), st.sampled_from(sorted(SETTINGS)), st.data())
def test_any_order_with_repeats_and_losses_reaches_the_same_end(
    number: int, judge: str, kind: str, data: st.DataObject
) -> None:
    # Permutations and repeats are drawn one by one, so that a failure shrinks to the shortest delivery that shows it.
    expected = in_order(number, judge, kind)
    state, effects = start(batch(number, **SETTINGS[kind]))
    seen: Counter[CallbackKind] = Counter()
    delivered: list[LLMComparisonResultV1] = []
    strangers = 0
    while waves := waves_in(effects):
        messages = [callback(comparison, JUDGES[judge](comparison)) for comparison in waves[0].comparisons]
        delivered += messages
        repeats = data.draw(st.lists(st.sampled_from(delivered), max_size=4), label="delivered again")
        unknown = [orphan(number) for number in data.draw(st.lists(st.integers(1, 99), max_size=2), label="orphans")]
        lost = data.draw(st.lists(st.sampled_from(messages), max_size=3, unique_by=id), label="lost at first")
        strangers += len(unknown)
        first = [message for message in messages + repeats if not any(message is gone for gone in lost)] + unknown
        order = [*data.draw(st.permutations(first), label="order"), *lost]
        cuts = sorted(data.draw(st.sets(st.integers(0, len(order)), max_size=4), label="deliveries end at"))
        effects = ()
        for begin, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
            state, more = advance(state, order[begin:end])
            effects += more
            check(state)
        seen.update(taken.kind for taken in taken_in(effects))
    assert state.comparisons() == expected.comparisons()
    assert state.scores == expected.scores
    assert state.decisions == expected.decisions
    assert state.pool == expected.pool
    assert (state.completed, state.failed) == (expected.completed, expected.failed)
    assert state.upload_status is expected.upload_status
    assert seen[CallbackKind.SUCCESS] == state.completed
    assert seen[CallbackKind.ERROR] == state.failed
    assert (seen[CallbackKind.DUPLICATE], seen[CallbackKind.LATE]) == (state.duplicate_callbacks, state.late_callbacks)
    assert seen[CallbackKind.ORPHAN] == state.orphan_callbacks == strangers


def open_wave(number: int, **engine: object) -> tuple[State, tuple[Comparison, ...]]:
    state, effects = start(batch(number, **engine))
    return state, waves_in(effects)[0].comparisons


def taken(state: State, delivery: Delivery) -> tuple[State, Taken]:
    state, effects = advance(state, [delivery])
    return state, taken_in(effects)[0]


def test_each_kind_of_callback_is_reported_once_with_what_a_service_counts() -> None:
    state, (first, second, third, fourth) = open_wave(8)
    state, report = taken(state, callback(first, first.essay_a))
    assert report == Taken(CallbackKind.SUCCESS, first.correlation_id, first)
    state, report = taken(state, callback(first, None))
    assert report == Taken(CallbackKind.DUPLICATE, first.correlation_id, first)
    state, report = taken(state, callback(second, None))
    assert report == Taken(CallbackKind.ERROR, second.correlation_id, second, "TIMEOUT", PoolChange.ENTERED)
    state, report = taken(state, orphan(5))
    assert report == Taken(CallbackKind.ORPHAN, orphan(5).correlation_id)
    state, report = taken(state, MalformedCallback(third.correlation_id))
    assert report.kind is CallbackKind.MALFORMED
    assert (report.error_code, report.pool) == ("INVALID_RESPONSE", PoolChange.PERMANENTLY_FAILED)
    state, report = taken(state, NotSubmitted(fourth.correlation_id, "LLM_QUEUE_FULL"))
    assert (report.kind, report.error_code) == (CallbackKind.ERROR, "LLM_QUEUE_FULL")
    assert (state.completed, state.failed, state.malformed_callbacks) == (1, 3, 1)
    assert (state.duplicate_callbacks, state.orphan_callbacks, state.late_callbacks) == (1, 1, 0)


def test_a_late_callback_is_reported_with_its_comparison() -> None:
    ended = in_order(3, "perfect", "small net")
    comparison = ended.comparisons()[0]
    _, report = taken(ended, callback(comparison, None))
    assert report == Taken(CallbackKind.LATE, comparison.correlation_id, comparison)
    assert not report.counted


@pytest.mark.parametrize("outcome", [{"winner": None, "error_detail": None}, "both"])
def test_a_verdict_with_neither_or_both_is_malformed_and_never_retried(outcome: object) -> None:
    state, (comparison,) = open_wave(2)
    message = callback(comparison, None)
    both = {"winner": callback(comparison, comparison.essay_a).winner}
    update = both if outcome == "both" else {"winner": None, "error_detail": None}
    state, effects = advance(state, [message.model_copy(update=update)])
    assert taken_in(effects)[0].kind is CallbackKind.MALFORMED
    # The one pair of the net cannot be asked again, so the batch ends, and the guard sees no success.
    assert [end.upload_status for end in end_in(effects)] == [UploadStatus.ERROR_PROCESSING]
    assert (state.submitted, state.pool.statistics.permanently_failed) == (1, 1)


def test_a_comparison_that_the_service_refused_is_retried_and_does_not_hang_the_batch() -> None:
    state, (comparison,) = open_wave(2)
    state, effects = advance(state, [NotSubmitted(comparison.correlation_id, "LLM_QUEUE_FULL")])
    (again,) = waves_in(effects)[0].comparisons
    assert (again.retry_of, again.retry_count) == (comparison.correlation_id, 1)
    assert state.pool.entries[0].error_code == "LLM_QUEUE_FULL"


def stuck(answered: int, judge: Judge = higher_item_wins) -> State:
    """A batch of 20 comparisons in one wave, of which some are answered and no more callbacks come."""
    state, comparisons = open_wave(8, max_pairwise_comparisons=20, llm_batching_mode="provider_batch_api")
    return advance(state, [callback(comparison, judge(comparison)) for comparison in comparisons[:answered]])[0]


@pytest.mark.parametrize(
    ("answered", "judge", "end", "reason"),
    [
        (16, higher_item_wins, UploadStatus.COMPLETE_FORCED_RECOVERY, "stuck_timeout"),
        (15, higher_item_wins, UploadStatus.ERROR_PROCESSING, "stuck_timeout_insufficient_progress"),
        # Production's recovery does not look at the success rate.
        (16, lambda comparison: None, UploadStatus.ERROR_PROCESSING, "low_success_rate"),
    ],
)
def test_a_stuck_batch_is_published_from_80_percent_on(
    answered: int, judge: Judge, end: UploadStatus, reason: str
) -> None:
    state, effects = recover(stuck(answered, judge))
    assert [(e.upload_status, e.reason) for e in end_in(effects)] == [(end, reason)]
    assert (state.callbacks, state.abandoned) == (answered, 20 - answered)
    check(state)
    missing = state.comparisons()[-1]
    state, report = taken(state, callback(missing, missing.essay_a))
    assert report.kind is CallbackKind.LATE
    assert recover(state) == (state, ())


def test_a_repeat_with_another_verdict_does_not_overturn_the_first() -> None:
    state, (comparison, _) = open_wave(4)
    state, _ = advance(state, [callback(comparison, comparison.essay_a)])
    for verdict in (comparison.essay_b, None):
        state, _ = advance(state, [callback(comparison, verdict)])
    assert state.won() == [(comparison.essay_a, comparison.essay_b)]
    assert (state.completed, state.failed, state.duplicate_callbacks) == (1, 0, 2)


def test_nothing_is_decided_while_a_callback_is_missing() -> None:
    state, (first, second, third) = open_wave(6)
    state, effects = advance(state, [callback(c, c.essay_a) for c in (first, second, first, second)])
    assert (waves_in(effects), end_in(effects), state.decisions, state.pending) == ([], [], (), 1)
    state, effects = advance(state, [callback(third, third.essay_a)])
    assert len(waves_in(effects)) == len(state.decisions) == 1


def test_callbacks_after_the_end_change_nothing_but_their_counter() -> None:
    ended = in_order(4, "perfect", "small net")
    again = [callback(comparison, comparison.essay_a) for comparison in ended.comparisons()]
    after, effects = advance(ended, [*again, orphan(1)])
    assert waves_in(effects) == end_in(effects) == []
    assert after == replace(ended, late_callbacks=len(again), orphan_callbacks=1)


def test_no_callbacks_are_no_reason_to_decide() -> None:
    state, _ = start(batch(4))
    assert advance(state, []) == (state, ())


def test_an_echo_that_names_other_essays_is_not_believed() -> None:
    state, (comparison,) = open_wave(2)
    told = callback(comparison, comparison.essay_b).model_copy(
        update={"request_metadata": {"essay_a_id": "x", "essay_b_id": "y"}}
    )
    state, _ = advance(state, [told])
    assert state.won() == [(comparison.essay_b, comparison.essay_a)]
