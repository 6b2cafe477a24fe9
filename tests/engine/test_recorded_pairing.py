"""A batch that follows a trace: the waves of a recording, and that they are asked exactly as they stand."""

from __future__ import annotations

from uuid import UUID

import pytest

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.engine.state import Comparison, PlannedPair, WaveKind
from cj_pipeline.engine.waves.plan import Plan, plan_of, repeated_pairs
from tests.engine.batches import always_fails, batch, callback, essays, higher_item_wins, run

E0, E1, E2, E3 = essays(4)


def recorded(number: int, essay_a: str, essay_b: str, iteration: object = None) -> LLMComparisonResultV1:
    """A callback as a trace holds it, under correlation id `number`; won by the essay shown as A."""
    answer = callback(Comparison(UUID(int=number), essay_a, essay_b, WaveKind.COVERAGE, 0), essay_a)
    if iteration is not None:
        answer.request_metadata["comparison_iteration"] = iteration
    return answer


def shown(plan: Plan) -> list[list[tuple[str, str]]]:
    return [[(pair.essay_a, pair.essay_b) for pair in wave] for wave in plan]


def test_waves_are_those_that_the_metadata_numbers() -> None:
    # One wave although essay 0 stands in it twice: a resampling pass may do that.
    trace = [recorded(1, E0, E1, 0), recorded(2, E2, E0, 0), recorded(3, E1, E2, 1)]
    assert shown(plan_of(trace, keep_ids=True)) == [[(E0, E1), (E2, E0)], [(E1, E2)]]


@pytest.mark.parametrize("unnumbered", [None, "1", True, 1.0])
def test_without_a_number_on_each_a_wave_ends_where_an_essay_comes_again(unnumbered: object) -> None:
    trace = [recorded(1, E0, E1, 0), recorded(2, E2, E3, 0), recorded(3, E3, E0, unnumbered), recorded(4, E1, E2, 1)]
    assert shown(plan_of(trace, keep_ids=True)) == [[(E0, E1), (E2, E3)], [(E3, E0), (E1, E2)]]


def test_a_comparison_answered_twice_is_asked_once() -> None:
    trace = [recorded(1, E0, E1, 0), recorded(1, E0, E1, 0), recorded(2, E2, E3, 1), recorded(1, E0, E1, 0)]
    assert shown(plan_of(trace, keep_ids=False)) == [[(E0, E1)], [(E2, E3)]]


def test_the_same_pair_under_another_id_is_another_comparison() -> None:
    assert shown(plan_of([recorded(1, E0, E1), recorded(2, E0, E1)], keep_ids=True)) == [[(E0, E1)], [(E0, E1)]]


def test_no_callbacks_make_no_plan() -> None:
    assert plan_of([], keep_ids=True) == ()


def test_the_plan_is_followed_in_pair_order_orientation_and_id() -> None:
    # The higher essay is shown as A in one pair and as B in the next; nothing is turned round.
    trace = [recorded(11, E1, E0, 0), recorded(12, E2, E3, 0), recorded(13, E0, E2, 1), recorded(14, E0, E1, 2)]
    state = run(batch(4, plan=plan_of(trace, keep_ids=True)), higher_item_wins)
    asked = [(c.correlation_id.int, c.essay_a, c.essay_b, c.iteration) for c in state.comparisons()]
    assert asked == [(11, E1, E0, 0), (12, E2, E3, 0), (13, E0, E2, 1), (14, E0, E1, 2)]


def test_without_kept_ids_every_comparison_has_a_fresh_one() -> None:
    trace = [recorded(11, E1, E0, 0), recorded(12, E2, E3, 0), recorded(13, E0, E2, 1)]
    state = run(batch(4, plan=plan_of(trace, keep_ids=False)), higher_item_wins)
    asked = [(c.essay_a, c.essay_b) for c in state.comparisons()]
    assert asked == [(E1, E0), (E2, E3), (E0, E2)]
    assert {c.correlation_id for c in state.comparisons()}.isdisjoint({UUID(int=number) for number in (11, 12, 13)})


def test_a_plan_is_cut_at_the_budget() -> None:
    plan = ((PlannedPair(E0, E1), PlannedPair(E2, E3)), (PlannedPair(E0, E2), PlannedPair(E1, E3)))
    state = run(batch(4, plan=plan, max_pairwise_comparisons=3), higher_item_wins)
    assert [(c.essay_a, c.essay_b) for c in state.comparisons()] == [(E0, E1), (E2, E3), (E0, E2)]


def test_failures_do_not_turn_a_plan_aside() -> None:
    # A balanced batch would ask the failed pair again; a trace says what was asked, failures or not.
    plan = ((PlannedPair(E0, E1),), (PlannedPair(E2, E3),))
    state = run(batch(4, plan=plan), always_fails)
    assert [(c.essay_a, c.essay_b) for c in state.comparisons()] == [(E0, E1), (E2, E3)]


def test_repeated_pairs_go_round_without_ids() -> None:
    plan = ((PlannedPair(E0, E1, UUID(int=1)),), (PlannedPair(E3, E2, UUID(int=2)),))
    assert repeated_pairs(plan, 3) == [PlannedPair(E0, E1), PlannedPair(E3, E2), PlannedPair(E0, E1)]
    assert repeated_pairs(plan, 1) == [PlannedPair(E0, E1)]
    assert repeated_pairs((), 3) == []


def numbered(number: int, essay_a: str, essay_b: str, **metadata: object) -> LLMComparisonResultV1:
    answer = recorded(number, essay_a, essay_b)
    answer.request_metadata.update(metadata)
    return answer


def test_retries_are_waves_by_a_number_of_their_own() -> None:
    # The two retry waves share no essay; only their numbers tell where one ends.
    retry = {"cj_request_type": "cj_retry"}
    trace = [
        numbered(1, E0, E1, comparison_iteration=0),
        numbered(2, E2, E3, comparison_iteration=0),
        numbered(3, E0, E1, retry_iteration=1, **retry),
        numbered(4, E2, E3, retry_iteration=2, **retry),
    ]
    plan = plan_of(trace, keep_ids=False)
    assert shown(plan) == [[(E0, E1), (E2, E3)], [(E0, E1)], [(E2, E3)]]
    assert [[pair.retry for pair in wave] for wave in plan] == [[False, False], [True], [True]]
