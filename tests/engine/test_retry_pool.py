"""Failed comparisons are asked again: how many, when, how often, and what becomes of them."""

from __future__ import annotations

from collections import Counter

import pytest

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.engine.effects import PoolChange
from cj_pipeline.engine.engine import Step, advance, start
from cj_pipeline.engine.facts import successful_pairs
from cj_pipeline.engine.state import Comparison, DecisionKind, PoolStatistics, State, UploadStatus, WaveKind
from cj_pipeline.engine.waves.plan import plan_of
from cj_pipeline.engine.waves.requests import comparison_request
from cj_pipeline.engine.waves.retry_pool import eligible
from tests.engine.batches import (
    Judge,
    always_fails,
    batch,
    callback,
    fails_in,
    higher_item_wins,
    run,
    taken_in,
    waves_in,
)

FULL_COVERAGE_ONLY = {"max_resampling_passes_for_regular_batch": 0, "min_comparisons_for_stability_check": 1000}


def answer(state: State, judge: Judge) -> Step:
    """The open wave, answered."""
    return advance(state, [callback(comparison, judge(comparison)) for comparison in state.waves[-1].comparisons])


def fails_times(times: int, *, only: frozenset[str] = frozenset()) -> Judge:
    """A judge whose first answers on a comparison are errors; only where one of some essays is in it, if given."""

    def judge(comparison: Comparison) -> str | None:
        concerned = not only or not only.isdisjoint(comparison.pair)
        return None if concerned and comparison.retry_count < times else higher_item_wins(comparison)

    return judge


def retry_waves(state: State) -> list[int]:
    """Sizes of the retry waves, in order."""
    return [len(wave.comparisons) for wave in state.waves if wave.comparisons[0].retry_count]


def test_a_failed_comparison_is_asked_again_in_the_same_order_under_another_id() -> None:
    state, _ = start(batch(2))
    state, effects = answer(state, always_fails)
    (wave,) = waves_in(effects)
    (first,), (again,) = (w.comparisons for w in state.waves)
    assert (wave.kind, wave.iteration) == (WaveKind.RETRY, 1)
    assert (again.essay_a, again.essay_b, again.kind) == (first.essay_a, first.essay_b, WaveKind.COVERAGE)
    assert (again.retry_of, again.retry_count) == (first.correlation_id, 1)
    assert again.correlation_id != first.correlation_id


def test_a_success_after_an_error_is_one_successful_pair_and_leaves_the_pool() -> None:
    state, _ = start(batch(2))
    state, _ = answer(state, always_fails)
    assert len(state.pool.entries) == 1
    state, effects = answer(state, higher_item_wins)
    assert taken_in(effects)[0].pool is PoolChange.RETRIED_WITH_SUCCESS
    assert (successful_pairs(state), state.completed, state.failed) == (1, 1, 1)
    assert state.pool.entries == ()
    assert state.pool.statistics == PoolStatistics(
        total_failed=1, retry_attempts=1, last_retry_batch=1, successful_retries=1, permanently_failed=0
    )


def test_after_three_retries_a_comparison_is_given_up() -> None:
    state = run(batch(2), always_fails)
    assert [comparison.retry_count for comparison in state.comparisons()] == [0, 1, 2, 3]
    assert state.pool.statistics == PoolStatistics(
        total_failed=1, retry_attempts=3, last_retry_batch=3, successful_retries=0, permanently_failed=1
    )
    assert state.pool.entries == ()
    assert state.decisions[-1].kind is DecisionKind.FINALIZE_NOTHING_SCHEDULABLE
    assert state.upload_status is UploadStatus.ERROR_PROCESSING


def test_a_second_failure_keeps_its_count_and_its_place() -> None:
    # In production it would enter again at 0, and the limit of attempts would be none.
    state, _ = start(batch(2))
    for retries in (1, 2, 3):
        state, _ = answer(state, always_fails)
        (entry,) = state.pool.entries
        assert (entry.retry_count, entry.correlation_id) == (retries, state.comparisons()[0].correlation_id)


def test_an_entry_in_flight_is_not_eligible() -> None:
    state, _ = start(batch(2))
    state, _ = answer(state, always_fails)
    (entry,) = state.pool.entries
    assert (entry.in_flight, entry.retry_count) == (True, 1)
    assert eligible(state) == []


@pytest.mark.parametrize(("threshold", "kind"), [(4, "RETRY_FAILED"), (5, "REQUEST_MORE_COMPARISONS")])
def test_failures_are_retried_at_the_threshold_and_wait_below_it(threshold: int, kind: str) -> None:
    state, _ = start(batch(8, failed_comparison_retry_threshold=threshold))
    state, _ = answer(state, always_fails)  # the first wave of eight essays is four comparisons
    assert state.decisions[-1].kind.value == kind
    assert len(state.pool.entries) == 4


def test_failures_below_the_threshold_are_retried_when_nothing_else_is_left() -> None:
    state = run(batch(6, **FULL_COVERAGE_ONLY), fails_times(1, only=frozenset({"essay-03"})))
    # 15 pairs, 5 of them with that essay: each fails once, and all five are asked again at the end.
    assert [wave.comparisons[0].retry_count for wave in state.waves] == [0] * (len(state.waves) - 1) + [1]
    assert (state.submitted, retry_waves(state), successful_pairs(state)) == (20, [5], 15)


def test_a_net_is_resampled_once_its_failures_are_made_good() -> None:
    state = run(batch(4, min_comparisons_for_stability_check=1000), fails_times(1, only=frozenset({"essay-00"})))
    kinds = [decision.kind.value for decision in state.decisions]
    assert kinds[kinds.index("RETRY_FAILED") + 1] == "RESAMPLE"


def test_a_retry_wave_is_at_most_as_large_as_the_setting() -> None:
    asked = batch(8, failed_comparison_retry_threshold=1, retry_batch_size=3, **FULL_COVERAGE_ONLY)
    state = run(asked, fails_times(1))
    assert max(retry_waves(state)) == 3
    assert successful_pairs(state) == 28


def test_retries_are_part_of_the_budget_and_cut_to_it() -> None:
    state = run(batch(8, max_pairwise_comparisons=6, failed_comparison_retry_threshold=4), always_fails)
    assert [len(wave.comparisons) for wave in state.waves] == [4, 2]
    assert (state.submitted, state.pool.statistics.retry_attempts) == (6, 2)
    assert state.decisions[-1].kind is DecisionKind.FINALIZE_FAILURE


def test_the_oldest_failures_come_first_whatever_order_they_failed_in() -> None:
    state, _ = start(batch(8, failed_comparison_retry_threshold=4, retry_batch_size=2))
    comparisons = state.waves[0].comparisons
    state, _ = advance(state, [callback(comparison, None) for comparison in reversed(comparisons)])
    assert [again.retry_of for again in state.waves[1].comparisons] == [c.correlation_id for c in comparisons[:2]]


@pytest.mark.parametrize("number", [3, 4, 5, 7, 9])
def test_an_essay_that_always_fails_ends_the_batch_without_burning_the_budget(number: int) -> None:
    asked = batch(number, max_pairwise_comparisons=1000, **FULL_COVERAGE_ONLY)
    state = run(asked, fails_times(99, only=frozenset({"essay-00"})))
    # Each of its pairs four times, every other pair once: that is all, of a budget of 1,000.
    others = (number - 1) * (number - 2) // 2
    assert Counter(comparison.retry_count for comparison in state.comparisons()) == {
        0: others + number - 1, 1: number - 1, 2: number - 1, 3: number - 1,
    }  # fmt: skip
    assert (successful_pairs(state), state.pool.statistics.permanently_failed) == (others, number - 1)


def test_with_retries_switched_off_nothing_enters_the_pool() -> None:
    state = run(batch(5, enable_failed_comparison_retry=False, max_pairwise_comparisons=20), fails_in(0.4))
    assert state.failed > 0
    assert state.pool.statistics == PoolStatistics()
    assert retry_waves(state) == []


def test_no_attempts_allowed_is_giving_up_at_once() -> None:
    state = run(batch(3, max_retry_attempts=0), always_fails)
    assert (state.submitted, state.pool.statistics.permanently_failed) == (3, 3)


def test_every_failure_is_accounted_for() -> None:
    state = run(batch(9, failed_comparison_retry_threshold=3, max_pairwise_comparisons=150), fails_in(0.5))
    statistics = state.pool.statistics
    first_failures = sum(
        wave.answers[comparison.correlation_id].winner is None
        for wave in state.waves
        for comparison in wave.comparisons
        if comparison.retry_count == 0
    )
    assert statistics.total_failed == first_failures > 10
    assert statistics.retry_attempts == sum(comparison.retry_count > 0 for comparison in state.comparisons())
    assert statistics.permanently_failed > 0
    assert statistics.successful_retries > 0


def as_recorded(state: State) -> list[LLMComparisonResultV1]:
    """What a trace of a batch holds: the callbacks with the metadata that its requests carried."""
    recorded = []
    for wave in state.waves:
        for comparison in wave.comparisons:
            request = comparison_request(
                comparison,
                batch=state.batch,
                wave_size=len(wave.comparisons),
                texts=dict.fromkeys(state.batch.items, "text"),
                overrides=LLMConfigOverrides(),
                callback_topic="callbacks",
            )
            verdict = callback(comparison, wave.answers[comparison.correlation_id].winner)
            recorded.append(verdict.model_copy(update={"request_metadata": request.metadata}))
    return recorded


@pytest.mark.parametrize("threshold", [1, 4, 20])
def test_a_replay_of_a_batch_with_retries_takes_the_same_decisions(threshold: int) -> None:
    # A retry batch of 2 makes several retry waves in a row, which only their own number tells apart.
    retries = {"failed_comparison_retry_threshold": threshold, "retry_batch_size": 2, "max_pairwise_comparisons": 90}
    ran = run(batch(7, **retries), fails_in(0.3))
    assert len(retry_waves(ran)) > 3
    trace = as_recorded(ran)
    answers = {verdict.correlation_id: verdict for verdict in trace}
    state, effects = start(batch(7, plan=plan_of(trace, keep_ids=True), **retries))
    while waves := waves_in(effects):
        state, effects = advance(state, [answers[c.correlation_id] for c in waves[0].comparisons])
    assert state.comparisons() == ran.comparisons()
    assert state.decisions == ran.decisions
    assert (state.pool, state.upload_status) == (ran.pool, ran.upload_status)


def test_a_trace_that_calls_every_later_wave_a_retry_is_not_believed() -> None:
    # Production labels so. Nothing failed here, so nothing is retried: the waves are coverage and passes as ever.
    ran = run(batch(4), higher_item_wins)
    labelled = [
        verdict.model_copy(update={"request_metadata": {**verdict.request_metadata, "cj_request_type": "cj_retry"}})
        for verdict in as_recorded(ran)
    ]
    state = run(batch(4, plan=plan_of(labelled, keep_ids=True)), higher_item_wins)
    assert state.comparisons() == ran.comparisons()
    assert [decision.kind for decision in state.decisions] == [decision.kind for decision in ran.decisions]
