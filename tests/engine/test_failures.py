"""Errors instead of verdicts: what counts as covered, what is asked again, and when a batch fails."""

from __future__ import annotations

from cj_pipeline.engine.effects import Finalize
from cj_pipeline.engine.engine import advance, start
from cj_pipeline.engine.facts import facts_of, successful_pairs
from cj_pipeline.engine.state import BatchStatus, Comparison, DecisionKind, PlannedPair, State, UploadStatus, WaveKind
from tests.engine.batches import always_fails, batch, callback, higher_item_wins, run


def answer_wave(state: State, *winners: str | None) -> tuple[State, tuple[object, ...]]:
    """Answer the open wave."""
    comparisons = state.waves[-1].comparisons
    return advance(state, [callback(c, winner) for c, winner in zip(comparisons, winners, strict=True)])


def test_error_then_success_is_one_successful_pair() -> None:
    state, _ = start(batch(2))
    state, _ = answer_wave(state, None)
    assert successful_pairs(state) == 0
    state, _ = answer_wave(state, "essay-01")
    assert (successful_pairs(state), state.completed, state.failed) == (1, 1, 1)
    assert facts_of(state, None).unique_coverage_complete


def test_a_pair_that_only_failed_is_no_coverage_and_is_asked_again() -> None:
    # In production a single error blocks its pair for good, so the net is never covered.
    state, _ = start(batch(2))
    state, _ = answer_wave(state, None)
    assert not facts_of(state, None).unique_coverage_complete
    first, second = state.comparisons()
    assert (second.essay_a, second.essay_b, second.kind) == (first.essay_a, first.essay_b, WaveKind.COVERAGE)
    assert second.correlation_id != first.correlation_id
    assert state.decisions[-1].kind is DecisionKind.RETRY_FAILED


def test_with_retries_switched_off_a_failed_pair_is_open_for_coverage_again() -> None:
    state, _ = start(batch(2, enable_failed_comparison_retry=False))
    state, _ = answer_wave(state, None)
    first, second = state.comparisons()
    assert (second.pair, second.retry_count) == (first.pair, 0)
    assert state.decisions[-1].kind is DecisionKind.REQUEST_MORE_COMPARISONS
    assert state.pool.entries == ()


def test_a_pair_that_fails_once_is_covered_in_the_end() -> None:
    failed: set[tuple[str, str]] = set()

    def fails_the_first_time(comparison: Comparison) -> str | None:
        if comparison.pair in failed:
            return higher_item_wins(comparison)
        failed.add(comparison.pair)
        return None

    state = run(batch(5, max_pairwise_comparisons=20), fails_the_first_time)
    assert (successful_pairs(state), state.completed, state.failed) == (10, 10, 10)


def test_a_batch_in_which_everything_fails_ends_as_an_error() -> None:
    state, effects = start(batch(4, max_pairwise_comparisons=7))
    while not state.finished:
        state, effects = answer_wave(state, *[None] * len(state.waves[-1].comparisons))
    assert effects[-1] == Finalize(UploadStatus.ERROR_PROCESSING, "low_success_rate")
    assert (state.status, state.submitted, state.completed, state.failed) == (BatchStatus.FAILED, 7, 0, 7)
    assert state.scores is None  # no fit of nothing
    assert state.decisions[-1].success_rate == 0.0


def test_four_successes_in_five_are_enough_and_three_in_four_are_not() -> None:
    for successes, budget, status in [
        (4, 5, UploadStatus.COMPLETE_STABLE),  # 0.8 is not below 0.8
        (3, 4, UploadStatus.ERROR_PROCESSING),
    ]:
        left = iter([True] * successes)
        asked = batch(8, max_pairwise_comparisons=budget)
        state = run(asked, lambda c, left=left: higher_item_wins(c) if next(left, False) else None)
        assert (state.completed, state.failed, state.upload_status) == (successes, 1, status)


def test_a_plan_that_ends_before_the_budget_finishes_through_the_guard() -> None:
    # 2 of 120 comparisons: production would ask for more, find none, and wait for the sweep.
    plan = ((PlannedPair("essay-01", "essay-00"),), (PlannedPair("essay-02", "essay-03"),))
    done = run(batch(4, plan=plan), higher_item_wins)
    assert (done.submitted, done.upload_status) == (2, UploadStatus.COMPLETE_MAX_COMPARISONS)
    assert done.decisions[-1].kind is DecisionKind.FINALIZE_NOTHING_SCHEDULABLE
    assert done.decisions[-1].reason == "nothing_schedulable"

    refused = run(batch(4, plan=plan), always_fails)
    assert (refused.submitted, refused.upload_status) == (2, UploadStatus.ERROR_PROCESSING)
    assert refused.decisions[-1].kind is DecisionKind.FINALIZE_NOTHING_SCHEDULABLE
    assert refused.decisions[-1].reason == "low_success_rate"


def test_a_net_without_a_pair_is_over_before_it_begins() -> None:
    for number in (0, 1):
        state, effects = start(batch(number))
        assert effects == (Finalize(UploadStatus.COMPLETE_INSUFFICIENT_ESSAYS, "insufficient_essays"),)
        assert (state.status, state.submitted) == (BatchStatus.COMPLETED, 0)
        assert state.scores == dict.fromkeys(state.batch.items, 0.0)


def test_a_recording_without_a_comparison_is_over_before_it_begins() -> None:
    state, effects = start(batch(4, pairing="recorded"))
    assert effects == (Finalize(UploadStatus.COMPLETE_MAX_COMPARISONS, "nothing_schedulable"),)
    assert (state.status, state.submitted) == (BatchStatus.COMPLETED, 0)
