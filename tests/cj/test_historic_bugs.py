"""Two bugs that production had, put back into the engine: the invariants that every run is checked for must see them.

Each test first runs the same deliveries through the engine as it is, where nothing is to be seen.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from cj_pipeline.cj import engine
from cj_pipeline.cj.effects import SubmitWave
from cj_pipeline.cj.state import State
from cj_pipeline.contracts.callback import LLMComparisonResultV1
from tests.cj.batches import Advance, batch, broken_invariants, callback, run


def everything_twice() -> list[str]:
    """What breaks in a batch of two comparisons whose callbacks both come twice."""
    state, (wave,) = engine.start(batch(4, max_pairwise_comparisons=2))
    assert isinstance(wave, SubmitWave)
    broken: list[str] = []
    for comparison in wave.comparisons:
        message = callback(comparison, comparison.essay_a)
        for _ in range(2):
            state, _ = engine.advance(state, [message])
            broken += broken_invariants(state)
    return broken


def test_counting_repeats_takes_completion_above_100_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert everything_twice() == []
    take = engine._take

    def take_counting_repeats(state: State, message: LLMComparisonResultV1) -> tuple[State, bool]:
        after, counted = take(state, message)
        if (after.duplicate_callbacks, after.late_callbacks) != (state.duplicate_callbacks, state.late_callbacks):
            return replace(after, completed=after.completed + 1), True
        return after, counted

    monkeypatch.setattr(engine, "_take", take_counting_repeats)
    broken = everything_twice()
    # The repeat of the first is taken for the second, the batch ends without it, and then it is 3 of 2, then 4 of 2.
    assert "a finished batch has nothing in flight" in broken
    assert broken.count("completion is at most 100 %") == 2


def deciding_at_once(state: State, messages: list[LLMComparisonResultV1]) -> engine.Step:
    """`advance` without its wait for the rest of the wave."""
    effects: tuple[engine.Effect, ...] = ()
    for message in messages:
        state, counted = engine._take(state, message)
        if counted:
            state, more = engine._decide(state)
            effects += more
    return state, effects


def first_of_each_wave(step: Advance, **settings: object) -> list[str]:
    """What breaks in a batch of eight after the first callback of its first wave of four."""
    state, (wave,) = engine.start(batch(8, **settings))
    assert isinstance(wave, SubmitWave)
    first = wave.comparisons[0]
    state, _ = step(state, [callback(first, first.essay_a)])
    return broken_invariants(state)


def test_deciding_in_mid_wave_finishes_a_batch_with_callbacks_in_flight() -> None:
    # The first wave spends the budget of four, so whoever decides after one callback finalises over the other three.
    assert first_of_each_wave(engine.advance, max_pairwise_comparisons=4) == []
    broken = first_of_each_wave(deciding_at_once, max_pairwise_comparisons=4)
    assert broken == ["a finished batch has nothing in flight"]


def test_deciding_in_mid_wave_puts_two_waves_in_flight() -> None:
    assert first_of_each_wave(engine.advance) == []
    assert first_of_each_wave(deciding_at_once) == ["at most one wave is in flight, and it is the last"]


def test_the_loop_that_all_run_tests_use_stops_at_either_bug() -> None:
    assert run(batch(8), lambda comparison: comparison.essay_a).finished
    with pytest.raises(AssertionError):
        run(batch(8), lambda comparison: comparison.essay_a, step=deciding_at_once)
