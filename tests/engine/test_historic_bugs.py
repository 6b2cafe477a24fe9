"""Two bugs that production had: each comes back when the line that prevents it is taken out of the engine, and is seen.

Each test first runs the same deliveries through the engine as it is, where nothing is to be seen.
"""

from __future__ import annotations

import pytest

from cj_pipeline.engine import engine, intake
from cj_pipeline.engine.invariants import BrokenInvariant, broken
from cj_pipeline.engine.state import State
from tests.engine.batches import batch, callback, run, waves_in


def first_of_the_first_wave(**settings: object) -> State:
    """A batch of eight after one callback of the four of its first wave."""
    state, effects = engine.start(batch(8, **settings))
    (wave,) = waves_in(effects)
    state, _ = engine.advance(state, [callback(wave.comparisons[0], wave.comparisons[0].essay_a)])
    return state


def everything_twice() -> State:
    """A batch of two comparisons whose callbacks both come twice."""
    state, effects = engine.start(batch(4, max_pairwise_comparisons=2))
    (wave,) = waves_in(effects)
    messages = [callback(comparison, comparison.essay_a) for comparison in wave.comparisons for _ in range(2)]
    return engine.advance(state, messages)[0]


def count_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "is_repeat", lambda *_: False)


def decide_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "all_in", lambda state: True)
    # The retry pool takes a whole wave; production had none.
    monkeypatch.setattr(engine, "settled", lambda state: state.pool)


def test_counting_repeats_ends_a_batch_over_callbacks_that_never_came(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken(everything_twice()) == []
    count_repeats(monkeypatch)
    monkeypatch.setattr(engine, "settled", lambda state: state.pool)  # it would look for the answer that is missing
    state = everything_twice()
    # The repeat of the first is taken for the second, the batch ends without it, and then the second is late.
    assert (state.completed, state.late_callbacks) == (2, 2)
    assert "each counted callback is one answered comparison" in broken(state)


def test_counting_repeats_takes_completion_above_100_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert everything_twice().progress == 1.0
    count_repeats(monkeypatch)
    monkeypatch.setattr(engine, "all_in", lambda state: False)  # as a replica that has not seen the end yet
    with pytest.raises(BrokenInvariant, match=r"completion is at most 100 % \(submitted 2 of 2, completed 4"):
        everything_twice()


def test_deciding_in_mid_wave_finishes_a_batch_with_callbacks_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    # The first wave spends the budget of four.
    hasty = {"max_pairwise_comparisons": 4}
    assert broken(first_of_the_first_wave(**hasty)) == []
    decide_at_once(monkeypatch)
    with pytest.raises(
        BrokenInvariant, match=r"a finished batch has nothing in flight \(submitted 4 of 4, completed 1"
    ):
        first_of_the_first_wave(**hasty)


def test_deciding_in_mid_wave_puts_two_waves_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken(first_of_the_first_wave()) == []
    decide_at_once(monkeypatch)
    assert broken(first_of_the_first_wave()) == ["at most one wave is in flight, and it is the last"]


def test_the_loop_that_all_run_tests_use_stops_at_the_second_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(batch(8), lambda comparison: comparison.essay_a).finished
    decide_at_once(monkeypatch)
    with pytest.raises(BrokenInvariant):
        run(batch(8), lambda comparison: comparison.essay_a)
