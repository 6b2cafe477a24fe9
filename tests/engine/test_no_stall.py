"""Every batch ends: whatever the net, the settings and the judge, within its budget. Production's did not.

The loops here end only where a batch does, and the engine itself refuses one that waits with nothing in flight.
"""

from __future__ import annotations

from itertools import count, product

import pytest

from cj_pipeline.engine.engine import advance, start
from cj_pipeline.engine.facts import successful_pairs
from cj_pipeline.engine.invariants import check
from cj_pipeline.engine.state import Comparison, DecisionKind, UploadStatus
from tests.engine.batches import (
    Judge,
    always_fails,
    batch,
    callback,
    coin_decides,
    fails_in,
    higher_item_wins,
    run,
    waves_in,
)


def first_essay_unreadable(comparison: Comparison) -> str | None:
    """No comparison with the first essay ever succeeds: it is too long, or in the wrong language."""
    return None if "essay-00" in comparison.pair else higher_item_wins(comparison)


def every_other_fails() -> Judge:
    """Answers and errors in turn, whatever is asked."""
    turns = count()
    return lambda comparison: higher_item_wins(comparison) if next(turns) % 2 else None


JUDGES = {
    "perfect": higher_item_wins,
    "random": coin_decides,
    "one in ten fails": fails_in(0.1),
    "half fail": fails_in(0.5),
    "one essay always fails": first_essay_unreadable,
    "every other fails": every_other_fails(),
    "all fail": always_fails,
}

SETTINGS = [
    {
        "max_pairwise_comparisons": budget,
        "max_resampling_passes_for_small_net": small_passes,
        "max_resampling_passes_for_regular_batch": regular_passes,
        "min_resampling_net_size": net_size,
        "min_comparisons_for_stability_check": floor,
        **retries,
        "llm_batching_mode": mode,
    }
    for budget, small_passes, regular_passes, net_size, floor, retries, mode in product(
        (1, 7, 60),
        (0, 3),
        (0, 2),
        (0, 5, 30),
        (0, 12, 1000),
        (
            {"enable_failed_comparison_retry": False},
            {"failed_comparison_retry_threshold": 2, "retry_batch_size": 3},
            {"failed_comparison_retry_threshold": 20, "max_retry_attempts": 1},
        ),
        ("serial_bundle", "provider_batch_api"),
    )
]


def ends(number: int, judge: Judge, settings: dict[str, object]) -> None:
    """Runs a batch wave by wave and holds that it ended, within its budget, for a reason that its counters bear out."""
    state, effects = start(batch(number, **settings))
    while waves := waves_in(effects):
        state, effects = advance(state, [callback(c, judge(c)) for c in waves[0].comparisons])
    check(state)
    assert state.finished
    assert state.completed + state.failed == state.submitted <= state.batch.total_budget
    refused = state.completed == 0 or state.completed / state.callbacks < 0.8
    assert (state.upload_status is UploadStatus.ERROR_PROCESSING) is refused


@pytest.mark.parametrize("number", [2, 3, 4])
def test_small_nets_end_under_every_settings(number: int) -> None:
    for turn, settings in enumerate(SETTINGS):
        # Enough for four passes over four essays, and for 20 failures; 60 would take twice as long and show no more.
        settings = settings | {"max_pairwise_comparisons": min(26, settings["max_pairwise_comparisons"])}
        # One judge for each of the 648 settings, another for the next, and another again in the next net.
        ends(number, list(JUDGES.values())[(turn + 3 * number) % len(JUDGES)], settings)


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
@pytest.mark.parametrize("number", range(5, 31))
def test_larger_nets_end_under_settings_taken_in_turn(number: int, judge: Judge) -> None:
    # 728 runs that meet 561 of the 648 settings; all of them with each net would take minutes.
    turn = number * len(JUDGES) + list(JUDGES.values()).index(judge)
    for step in (0, 161, 331, 487):
        settings = SETTINGS[(37 * turn + step) % len(SETTINGS)]
        ends(number, judge, settings)


@pytest.mark.parametrize("judge", [higher_item_wins, fails_in(0.1)], ids=["perfect", "one in ten fails"])
@pytest.mark.parametrize("number", range(5, 31))
def test_larger_nets_end_with_production_settings(number: int, judge: Judge) -> None:
    state = run(batch(number), judge)
    assert state.completed + state.failed == state.submitted <= 120


@pytest.mark.parametrize("number", [3, 5, 7])
def test_without_retries_an_essay_that_always_fails_is_asked_until_the_budget_is_spent(number: int) -> None:
    # All pairs that are left share this essay, and it was compared most: the one who sits out in an odd net must be
    # somebody else, or the wave is empty and the batch ends with half its budget unused.
    state = run(batch(number, enable_failed_comparison_retry=False), first_essay_unreadable)
    assert state.submitted == 120
    assert successful_pairs(state) == (number - 1) * (number - 2) // 2
    assert state.decisions[-1].kind is DecisionKind.FINALIZE_FAILURE
    assert state.upload_status is UploadStatus.ERROR_PROCESSING


@pytest.mark.parametrize("number", [3, 4, 5, 6, 7])
def test_a_pair_that_failed_hides_no_other_pair(number: int) -> None:
    # What may not be asked again is the pool's; whatever else is open must still be found, or coverage stays short.
    state = run(batch(number, max_pairwise_comparisons=500), first_essay_unreadable)
    assert successful_pairs(state) == (number - 1) * (number - 2) // 2
    assert {comparison.pair for comparison in state.comparisons()} == set(state.batch.pairs())


@pytest.mark.parametrize("budget", range(4, 14))
def test_a_shortened_pass_comes_out_where_one_essay_was_compared_most(budget: int) -> None:
    # The first essay fails four times before it is judged, so it counts more comparisons than the others when a pass
    # must be cut to the budget; leaving it out of the last matching would leave no pair to fill the pass with.
    failures = iter(range(4))

    def judge(comparison: Comparison) -> str | None:
        if "essay-00" in comparison.pair and next(failures, None) is not None:
            return None
        return higher_item_wins(comparison)

    state = run(batch(3, max_pairwise_comparisons=budget, min_comparisons_for_stability_check=1000), judge)
    assert state.submitted == budget
