"""Callbacks as a broker delivers them: in any order, some twice, some that belong to nobody, some after the end."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.cj.effects import SubmitWave
from cj_pipeline.cj.engine import advance, start
from cj_pipeline.cj.state import State
from cj_pipeline.contracts.callback import LLMComparisonResultV1
from tests.cj.batches import Judge, batch, broken_invariants, callback, coin_decides, fails_in, higher_item_wins, orphan
from tests.cj.batches import run as run_in_order

JUDGES = {"perfect": higher_item_wins, "random": coin_decides, "a third fails": fails_in(1 / 3)}
SMALL = {"max_pairwise_comparisons": 40, "min_resampling_net_size": 4, "max_resampling_passes_for_small_net": 2}


@cache
def in_order(number: int, judge: str) -> State:
    return run_in_order(batch(number, **SMALL), JUDGES[judge])


def run_scrambled(number: int, judge: Judge, random: Random) -> tuple[State, int]:
    """A batch whose callbacks come scrambled, in deliveries of one or more; the state, and how many were too many."""
    state, effects = start(batch(number, **SMALL))
    delivered: list[LLMComparisonResultV1] = []
    superfluous = 0
    while effects and isinstance(effects[0], SubmitWave):
        (wave,) = effects
        messages = [callback(c, judge(c)) for c in wave.comparisons]
        repeats = random.choices(messages + delivered, k=random.randint(0, 4))
        orphans = [orphan(random.randint(1, 99)) for _ in range(random.randint(0, 2))]
        delivered += messages
        messages = messages + repeats + orphans
        superfluous += len(repeats) + len(orphans)
        random.shuffle(messages)
        effects = ()
        while messages:
            size = random.randint(1, 3)
            before = state
            state, more = advance(state, messages[:size])
            messages = messages[size:]
            effects += more
            assert broken_invariants(state) == []
            assert before.completed + before.failed <= state.completed + state.failed
    return state, superfluous


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 7), st.sampled_from(sorted(JUDGES)), st.randoms(use_true_random=False))
def test_order_repeats_and_strangers_change_nothing_but_their_counters(number: int, judge: str, random: Random) -> None:
    expected = in_order(number, judge)
    state, superfluous = run_scrambled(number, JUDGES[judge], random)
    assert state.comparisons() == expected.comparisons()
    assert state.scores == expected.scores
    assert state.decisions == expected.decisions
    assert (state.completed, state.failed) == (expected.completed, expected.failed)
    assert state.upload_status is expected.upload_status
    assert state.duplicate_callbacks + state.late_callbacks + state.orphan_callbacks == superfluous


def test_a_repeat_with_another_verdict_does_not_overturn_the_first() -> None:
    state, (wave,) = start(batch(4))
    assert isinstance(wave, SubmitWave)
    comparison = wave.comparisons[0]
    state, _ = advance(state, [callback(comparison, comparison.essay_a)])
    for verdict in (comparison.essay_b, None):
        state, effects = advance(state, [callback(comparison, verdict)])
        assert effects == ()
    assert state.won() == [(comparison.essay_a, comparison.essay_b)]
    assert (state.completed, state.failed, state.duplicate_callbacks) == (1, 0, 2)


def test_nothing_is_decided_while_a_callback_is_missing() -> None:
    state, (wave,) = start(batch(6))
    assert isinstance(wave, SubmitWave)
    first, second, third = wave.comparisons
    state, effects = advance(state, [callback(c, c.essay_a) for c in (first, second, first, second)])
    assert (effects, state.decisions, state.pending) == ((), (), 1)
    state, effects = advance(state, [callback(third, third.essay_a)])
    assert len(effects) == len(state.decisions) == 1


def test_callbacks_after_the_end_change_nothing_but_their_counter() -> None:
    ended = in_order(4, "perfect")
    again = [callback(comparison, comparison.essay_a) for comparison in ended.comparisons()]
    after, effects = advance(ended, [*again, orphan(1)])
    assert effects == ()
    assert after == replace(ended, late_callbacks=len(again), orphan_callbacks=1)


def test_no_callbacks_are_no_reason_to_decide() -> None:
    state, _ = start(batch(4))
    assert advance(state, []) == (state, ())


def test_an_echo_that_names_other_essays_is_not_believed() -> None:
    state, (wave,) = start(batch(2))
    assert isinstance(wave, SubmitWave)
    (comparison,) = wave.comparisons
    told = callback(comparison, comparison.essay_b).model_copy(
        update={"request_metadata": {"essay_a_id": "x", "essay_b_id": "y"}}
    )
    state, _ = advance(state, [told])
    assert state.won() == [(comparison.essay_b, comparison.essay_a)]
