"""Whole batches in front of a judge who is always right: how many comparisons, who stands where, how it ends."""

from __future__ import annotations

from collections import Counter

import pytest

from cj_pipeline.engine.facts import successful_pairs
from cj_pipeline.engine.pairing.orientation import positions
from cj_pipeline.engine.state import BatchStatus, DecisionKind, State, UploadStatus, WaveKind
from tests.engine.batches import LOWER5, batch, essays, higher_item_wins, run

# No batch stops early for being stable: the floor is above any budget used here.
NEVER_STABLE = {"min_comparisons_for_stability_check": 1000}


def largest_skew(state: State) -> float:
    """|A - B| / (A + B) of the essay that stood most unevenly."""
    return max(abs(as_a - as_b) / (as_a + as_b) for as_a, as_b in positions(state).values())


def shown_in_one_order_only(state: State) -> set[tuple[str, str]]:
    """Pairs that were asked at least twice and always in the same order."""
    shown = {(c.essay_a, c.essay_b) for c in state.comparisons()}
    asked = Counter(c.pair for c in state.comparisons())
    return {pair for pair, times in asked.items() if times > 1 and not {pair, pair[::-1]} <= shown}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lower5_ends_with_40_comparisons(seed: int) -> None:
    # 10 pairs once, then three passes over all of them: 10 + 3 x 10, as in production.
    state = run(batch(5, seed=seed, **LOWER5), higher_item_wins)
    assert (state.submitted, state.completed, state.failed) == (40, 40, 0)
    assert successful_pairs(state) == 10
    assert state.resampling_pass_count == 3
    assert (state.status, state.upload_status) == (BatchStatus.COMPLETED, UploadStatus.COMPLETE_STABLE)
    assert state.decisions[-1].reason == "small_cap_reached"
    # Coverage in matchings of two, then whole passes.
    assert [len(wave.comparisons) for wave in state.waves] == [2, 2, 2, 2, 2, 10, 10, 10]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lower5_shows_every_essay_evenly_and_every_pair_both_ways(seed: int) -> None:
    state = run(batch(5, seed=seed, **LOWER5), higher_item_wins)
    assert largest_skew(state) <= 0.1
    assert shown_in_one_order_only(state) == set()
    # Four showings of a pair: twice each way, so no pair's result is a result of its position.
    assert set(Counter((c.essay_a, c.essay_b) for c in state.comparisons()).values()) == {2}


def test_scores_of_a_perfect_judge_stand_in_the_true_order() -> None:
    state = run(batch(5, **LOWER5), higher_item_wins)
    assert state.scores is not None
    assert sorted(essays(5), key=lambda essay: state.scores[essay]) == list(essays(5))


@pytest.mark.parametrize(("number", "comparisons", "passes"), [(2, 5, 4), (3, 15, 4)])
def test_nets_of_two_and_three_are_small_by_default(number: int, comparisons: int, passes: int) -> None:
    state = run(batch(number), higher_item_wins)
    assert (state.submitted, state.resampling_pass_count) == (comparisons, passes)
    assert state.upload_status is UploadStatus.COMPLETE_STABLE


@pytest.mark.parametrize(("number", "comparisons"), [(4, 12), (8, 56), (11, 110)])
def test_a_regular_net_is_asked_twice_and_then_finished(number: int, comparisons: int) -> None:
    # n (n - 1) comparisons: every pair once, and one pass. Production stalls here until a sweep five minutes later.
    state = run(batch(number, **NEVER_STABLE), higher_item_wins)
    assert state.submitted == comparisons
    assert state.upload_status is UploadStatus.COMPLETE_MAX_COMPARISONS
    assert state.decisions[-1].kind is DecisionKind.FINALIZE_NOTHING_SCHEDULABLE
    assert state.decisions[-1].reason == "nothing_schedulable"


@pytest.mark.parametrize("number", [12, 13, 15, 16, 24])
def test_a_larger_net_fills_the_budget_exactly(number: int) -> None:
    # Production's greedy pass under-fills at 12 essays: 117 to 119 of 120.
    state = run(batch(number, **NEVER_STABLE), higher_item_wins)
    assert state.submitted == 120
    assert state.decisions[-1].reason == "reached_cap, budget_exhausted"


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_24_essays_with_288_comparisons_are_compared_24_times_each(seed: int) -> None:
    # 276 pairs, and 12 of them again: one perfect matching, so nobody is favoured.
    state = run(batch(24, seed=seed, max_pairwise_comparisons=288, **NEVER_STABLE), higher_item_wins)
    assert [as_a + as_b for as_a, as_b in positions(state).values()] == [24] * 24
    assert largest_skew(state) <= 0.2
    assert [(wave.comparisons[0].kind, len(wave.comparisons)) for wave in state.waves[-1:]] == [
        (WaveKind.RESAMPLING, 12)
    ]
    assert shown_in_one_order_only(state) == set()


def test_24_essays_with_552_comparisons_meet_each_other_both_ways() -> None:
    state = run(batch(24, max_pairwise_comparisons=552, **NEVER_STABLE), higher_item_wins)
    assert largest_skew(state) == 0.0
    assert len({(c.essay_a, c.essay_b) for c in state.comparisons()}) == 552


@pytest.mark.parametrize("number", [5, 6, 11])
def test_nobody_stands_twice_in_a_coverage_wave(number: int) -> None:
    state = run(batch(number, **NEVER_STABLE), higher_item_wins)
    for wave in state.waves:
        if wave.comparisons[0].kind is WaveKind.COVERAGE:
            judged = [essay for c in wave.comparisons for essay in c.pair]
            assert len(judged) == len(set(judged)) <= number


def test_a_stable_batch_stops_before_its_budget() -> None:
    state = run(batch(5, score_stability_threshold=100.0, min_comparisons_for_stability_check=4), higher_item_wins)
    assert state.submitted == 4  # the second wave of two is the first with a score to compare with
    assert state.decisions[-1].reason == "stable"
    assert state.upload_status is UploadStatus.COMPLETE_STABLE
