"""Resampling passes: every covered pair once, and where the budget is shorter, nobody favoured."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.engine.state import State, WaveKind
from cj_pipeline.foundation.seeding import uniform
from tests.engine.batches import batch, essays
from tests.engine.planned import asked, covered, pairs_of, with_wave

RESAMPLING = WaveKind.RESAMPLING


def after_coverage(number: int, room: int, seed: int = 0) -> State:
    """A net with every pair judged once, and `room` comparisons left."""
    return covered(batch(number, seed=seed, max_pairwise_comparisons=number * (number - 1) // 2 + room), seed)


def compared(state: State) -> Counter[str]:
    return Counter(essay for c in state.comparisons() for essay in c.pair)


@pytest.mark.parametrize("number", range(3, 31))
def test_a_pass_asks_every_covered_pair_once(number: int) -> None:
    state = after_coverage(number, room=10**5)
    assert pairs_of(state, RESAMPLING) == list(combinations(essays(number), 2))


def test_twelve_essays_fill_a_budget_of_120() -> None:
    # 66 pairs and 54 of them again; production's greedy pass ends with 117 to 119.
    for seed in range(20):
        state = with_wave(after_coverage(12, room=54, seed=seed), RESAMPLING)
        assert state.submitted == 120
        assert sorted(compared(state).values()) == [20] * 12


@pytest.mark.parametrize("number", [3, 4, 5, 8, 11, 12])
def test_a_pass_cut_anywhere_is_full_and_leaves_nobody_more_than_one_from_the_ideal(number: int) -> None:
    pairs = number * (number - 1) // 2
    for room in range(1, pairs):
        state = with_wave(after_coverage(number, room), RESAMPLING)
        assert len({c.pair for c in state.waves[-1].comparisons}) == room
        ideal = 2 * (pairs + room) / number
        assert all(abs(times - ideal) < 1 + 1e-9 for times in compared(state).values())
        assert max(compared(state).values()) - min(compared(state).values()) <= 1


@pytest.mark.parametrize(("number", "room"), [(24, 12), (25, 37), (30, 200), (60, 1_000)])
def test_larger_nets_come_out_even_too(number: int, room: int) -> None:
    times = compared(with_wave(after_coverage(number, room), RESAMPLING)).values()
    assert max(times) - min(times) <= 1


def test_pairs_with_the_fewest_winners_come_first() -> None:
    # Ten pairs, judged once each; six of them then judged again; a pass of five has to take the other four.
    pairs = list(combinations(essays(5), 2))
    state = covered(batch(5, max_pairwise_comparisons=10 + 6 + 5), seed=0)
    state = asked(state, pairs[4:], RESAMPLING)
    wave = pairs_of(state, RESAMPLING)
    assert len(wave) == 5
    assert set(pairs[:4]) < set(wave)


def test_a_failure_of_a_pass_is_made_up_for_in_the_next() -> None:
    # In the first pass the last of ten comparisons fails; the next pass has room for one.
    state = covered(batch(5, max_pairwise_comparisons=21), seed=0)
    state = asked(state, list(combinations(essays(5), 2)), RESAMPLING, fails=lambda number: number == 19)
    assert pairs_of(state, RESAMPLING) == [("essay-03", "essay-04")]


def test_a_pair_that_never_had_a_winner_is_not_resampled() -> None:
    pairs = list(combinations(essays(4), 2))
    state = asked(State(batch(4)), pairs, WaveKind.COVERAGE, fails=lambda number: number == 2)
    assert pairs_of(state, RESAMPLING) == [pair for pair in pairs if pair != ("essay-00", "essay-03")]


def test_nothing_covered_is_nothing_to_resample() -> None:
    assert pairs_of(State(batch(4)), RESAMPLING) == []


def test_a_cut_pass_is_drawn_by_the_seed() -> None:
    drawn = [tuple(pairs_of(after_coverage(24, 12, seed=seed), RESAMPLING)) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


@given(st.integers(3, 12), st.integers(0, 10**6), st.floats(0.0, 0.5), st.floats(0.05, 0.95))
@settings(max_examples=60, deadline=None)
def test_a_pass_over_any_covered_pairs_is_full_and_repeats_none(
    number: int, seed: int, failing: float, share: float
) -> None:
    pairs = [pair for pair in combinations(essays(number), 2) if uniform("pair", seed, *pair) < share]
    first = State(batch(number, max_pairwise_comparisons=len(pairs) + 1 + len(pairs) // 2))
    state = asked(first, pairs, WaveKind.COVERAGE, fails=lambda place: uniform("fails", seed, place) < failing)
    judged = {(min(outcome), max(outcome)) for outcome in state.won()}
    wave = pairs_of(state, RESAMPLING)
    assert len(wave) == len(set(wave)) == min(len(judged), state.remaining)
    assert set(wave) <= judged
