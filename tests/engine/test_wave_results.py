"""The results of the waves of a batch: what was asked, what came of it, and the scale by then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cj_pipeline.bt.diagnostics import se_summary
from cj_pipeline.bt.newton import NotConverged
from cj_pipeline.engine.engine import advance, start
from cj_pipeline.engine.facts import successful_pairs
from cj_pipeline.engine.scoring import wave_results as course
from cj_pipeline.engine.scoring.scores import Scores, outcomes, score
from cj_pipeline.engine.scoring.wave_results import wave_results
from cj_pipeline.engine.state import Comparison, State
from tests.engine.batches import (
    LOWER5,
    Judge,
    always_fails,
    batch,
    callback,
    coin_decides,
    fails_in,
    higher_item_wins,
    run,
)


@pytest.mark.parametrize("judge", [coin_decides, fails_in(0.15)])
def test_every_wave_has_the_score_change_on_which_its_decision_was_taken(judge: Judge) -> None:
    state = run(batch(8), judge)
    waves = wave_results(state)
    assert len(waves) >= 5
    logged = {decision.iteration: decision.max_score_change for decision in state.decisions}
    assert logged == {wave.number: wave.max_score_change for wave in waves}


def test_waves_add_up_to_the_batch_and_the_last_scale_is_its_own() -> None:
    state = run(batch(8), fails_in(0.15))
    waves = wave_results(state)
    assert [wave.number for wave in waves] == list(range(1, len(state.waves) + 1))
    assert sum(wave.asked for wave in waves) == state.submitted
    assert (sum(wave.completed for wave in waves), sum(wave.failed for wave in waves)) == (
        state.completed,
        state.failed,
    )
    assert state.failed > 0
    last, final = waves[-1], se_summary(score(state).fit.standard_error, outcomes(state))
    assert (last.covered_pairs, last.tau_b) == (successful_pairs(state), pytest.approx(1.0))
    assert (last.mean_se, last.max_se, last.items_at_cap) == (final.mean_se, final.max_se, final.items_at_cap)


def test_five_essays_are_covered_in_five_waves_and_resampled_in_three() -> None:
    waves = wave_results(run(batch(5, **LOWER5), higher_item_wins))
    assert [wave.kind.value for wave in waves] == ["coverage"] * 5 + ["resampling"] * 3
    assert [wave.asked for wave in waves] == [2] * 5 + [10] * 3
    assert [wave.covered_pairs for wave in waves] == [2, 4, 6, 8, 10, 10, 10, 10]


def test_a_wave_that_only_failed_moves_nothing_and_its_retry_is_called_one() -> None:
    state, _ = start(batch(2))
    for judge in (always_fails, higher_item_wins):
        (comparison,) = state.waves[-1].comparisons
        state, _ = advance(state, [callback(comparison, judge(comparison))])
    failed, retried = wave_results(state)[:2]
    assert (failed.kind, failed.asked, failed.completed, failed.failed) == ("coverage", 1, 0, 1)
    assert (failed.covered_pairs, failed.items_at_cap, failed.max_score_change, failed.tau_b) == (0, 2, None, 0.0)
    assert (retried.kind, retried.completed, retried.failed, retried.covered_pairs) == ("retry", 1, 0, 1)


def test_a_retry_wave_keeps_the_scale_it_is_held_against() -> None:
    # Wave 2 gives no answer: its scale is that of wave 1, so it has moved by nothing.
    def judge(comparison: Comparison) -> str | None:
        return None if comparison.iteration == 1 and comparison.retry_count == 0 else higher_item_wins(comparison)

    first, second, third = wave_results(run(batch(6), judge))[:3]
    assert (second.completed, second.max_score_change) == (0, 0.0)
    assert (second.mean_se, second.covered_pairs) == (first.mean_se, first.covered_pairs)
    assert third.max_score_change is not None
    assert third.max_score_change > 0.1


def test_the_course_of_a_batch_in_flight_says_what_is_missing() -> None:
    state, _ = start(batch(6))
    state, _ = advance(state, [callback(state.waves[0].comparisons[0], state.waves[0].comparisons[0].essay_a)])
    (wave,) = wave_results(state)
    assert (wave.asked, wave.completed, wave.failed, wave.covered_pairs) == (3, 1, 0, 1)


def test_parts_of_a_net_that_nothing_links_have_no_known_errors() -> None:
    first = wave_results(run(batch(6), higher_item_wins))[0]
    assert (first.asked, first.mean_se, first.max_se, first.items_at_cap) == (3, 2.0, 2.0, 6)


def test_a_batch_that_asked_nothing_has_no_course() -> None:
    state, _ = start(batch(1))
    assert wave_results(state) == wave_results(State(batch=batch(3))) == ()


def test_after_a_wave_without_a_scale_change_is_counted_from_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Newton's iteration has not failed on any recording; the engine keeps its old scores if it does, and so the log.
    state = run(batch(8), coin_decides)
    scales = [score(replace(state, waves=state.waves[:number])).fit.theta for number in (1, 3)]

    def fails_on_the_second(moment: State) -> Scores:
        if len(moment.waves) == 2:
            raise NotConverged("no maximum")
        return score(moment)

    monkeypatch.setattr(course, "score", fails_on_the_second)
    _, second, third = wave_results(state)[:3]
    assert (second.max_score_change, second.items_at_cap, second.tau_b) == (None, 8, 0.0)
    assert third.max_score_change == pytest.approx(float(abs(scales[1] - scales[0]).max()))
