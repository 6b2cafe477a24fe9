"""The decision table, row by row: the order, the first match, and the boundary of each condition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cj_pipeline.engine.decisions import TABLE, decisions_for, reason_for
from cj_pipeline.engine.engine import start
from cj_pipeline.engine.facts import Facts, facts_of, max_score_change, resampling_cap
from cj_pipeline.engine.state import Answer, DecisionKind, State, UnusableBudget
from tests.engine.batches import always_fails, batch, essays, higher_item_wins, run

RETRY, RESAMPLE, FAIL, SCORE, MORE, RETRY_THE_REST, NOTHING = (row.kind for row in TABLE)

# A covered net in mid-run: 10 of 120 asked and answered, one pass allowed and none made, nothing stable.
COVERED = Facts(
    callbacks=10,
    completed=10,
    remaining=110,
    success_rate=1.0,
    low_success=False,
    max_score_change=0.5,
    stable=False,
    reached_cap=False,
    budget_exhausted=False,
    unique_coverage_complete=True,
    resampling_passes=0,
    resampling_cap=1,
    small_cap_reached=False,
    eligible_retries=0,
    retry_threshold=20,
    single_wave=False,
)
UNCOVERED = replace(COVERED, unique_coverage_complete=False)
SPENT = replace(COVERED, remaining=0, reached_cap=True, budget_exhausted=True)
SMALL_CAP = replace(COVERED, small_cap_reached=True, resampling_cap=0)


def test_rows_stand_in_productions_order_with_retries_round_it_and_ours_last() -> None:
    assert [row.kind.value for row in TABLE] == [
        "RETRY_FAILED",
        "RESAMPLE",
        "FINALIZE_FAILURE",
        "FINALIZE_SCORING",
        "REQUEST_MORE_COMPARISONS",
        "RETRY_FAILED",
        "FINALIZE_NOTHING_SCHEDULABLE",
    ]


@pytest.mark.parametrize(
    ("facts", "tried"),
    [
        pytest.param(COVERED, [RESAMPLE, MORE, NOTHING], id="covered: resample first"),
        pytest.param(UNCOVERED, [MORE, NOTHING], id="a pair is missing: cover it"),
        pytest.param(replace(COVERED, resampling_passes=1), [MORE, NOTHING], id="the one pass is made"),
        pytest.param(replace(COVERED, resampling_cap=0), [MORE, NOTHING], id="no pass allowed"),
        pytest.param(replace(COVERED, stable=True), [SCORE, MORE, NOTHING], id="stable beats resampling"),
        pytest.param(
            replace(COVERED, small_cap_reached=True, resampling_cap=0), [SCORE, MORE, NOTHING], id="small cap"
        ),
        pytest.param(SPENT, [SCORE, NOTHING], id="budget spent, answers good"),
        pytest.param(replace(SPENT, low_success=True), [FAIL, SCORE, NOTHING], id="budget spent, answers bad"),
        pytest.param(replace(SPENT, completed=0), [FAIL, SCORE, NOTHING], id="budget spent, no answer at all"),
        pytest.param(replace(UNCOVERED, low_success=True), [MORE, NOTHING], id="bad answers below every limit"),
        pytest.param(replace(COVERED, low_success=True), [RESAMPLE, MORE, NOTHING], id="bad answers do not bar a pass"),
        pytest.param(
            replace(COVERED, low_success=True, small_cap_reached=True),
            [FAIL, SCORE, MORE, NOTHING],
            id="the guard at a limit bars a pass",
        ),
        pytest.param(replace(COVERED, callbacks=0), [MORE, NOTHING], id="nothing answered, nothing to resample"),
        pytest.param(replace(UNCOVERED, remaining=1), [MORE, NOTHING], id="one comparison left"),
        pytest.param(replace(UNCOVERED, remaining=0), [NOTHING], id="none left: only the last row holds"),
        pytest.param(replace(UNCOVERED, eligible_retries=20), [RETRY, MORE, RETRY, NOTHING], id="20 failures: a wave"),
        pytest.param(replace(UNCOVERED, eligible_retries=19), [MORE, RETRY, NOTHING], id="19 wait for the end"),
        pytest.param(
            replace(COVERED, eligible_retries=20), [RETRY, RESAMPLE, MORE, RETRY, NOTHING], id="retries before a pass"
        ),
        pytest.param(replace(COVERED, eligible_retries=1), [RESAMPLE, MORE, RETRY, NOTHING], id="one waits for a pass"),
        pytest.param(
            replace(SMALL_CAP, eligible_retries=1), [RETRY, SCORE, MORE, RETRY, NOTHING], id="small cap: the rest first"
        ),
        pytest.param(
            replace(SMALL_CAP, eligible_retries=1, low_success=True),
            [RETRY, FAIL, SCORE, MORE, RETRY, NOTHING],
            id="small cap: retries before the guard refuses",
        ),
        pytest.param(
            replace(COVERED, stable=True, eligible_retries=99), [SCORE, MORE, NOTHING], id="stable: nothing is retried"
        ),
        pytest.param(replace(SPENT, eligible_retries=99), [SCORE, NOTHING], id="no budget, no retry"),
        pytest.param(
            replace(COVERED, single_wave=True, eligible_retries=99),
            [NOTHING],
            id="a single wave: neither pass nor more",
        ),
        pytest.param(replace(SPENT, single_wave=True), [SCORE, NOTHING], id="a single wave that fills the budget"),
        pytest.param(
            replace(SPENT, single_wave=True, low_success=True), [FAIL, SCORE, NOTHING], id="a single wave, refused"
        ),
    ],
)
def test_every_row_that_holds_is_tried_in_order(facts: Facts, tried: list[DecisionKind]) -> None:
    assert decisions_for(facts) == tried


def test_the_reason_names_the_facts() -> None:
    assert reason_for(RETRY, replace(COVERED, eligible_retries=21)) == "21 failed, to be retried"
    assert reason_for(RESAMPLE, COVERED) == "pass 1 of 1"
    assert reason_for(MORE, UNCOVERED) == "110 comparisons left"
    assert reason_for(SCORE, SPENT) == "reached_cap, budget_exhausted"
    assert reason_for(FAIL, replace(SPENT, low_success=True)) == "low_success_rate"
    assert reason_for(NOTHING, UNCOVERED) == "nothing_schedulable"
    assert reason_for(NOTHING, replace(UNCOVERED, completed=0)) == "low_success_rate"


def answered(successes: int, failures: int, **settings: object) -> State:
    """Twelve essays whose counters say so, with scores from an earlier wave, all 0."""
    state, _ = start(batch(12, **settings))
    counted = {"completed": successes, "failed": failures, "submitted": successes + failures}
    return replace(state, **counted, scores=dict.fromkeys(essays(12), 0.0))


def moved(by: float) -> dict[str, float]:
    return {**dict.fromkeys(essays(12), 0.0), "essay-00": by}


def test_a_success_rate_of_exactly_80_percent_is_not_low() -> None:
    assert not facts_of(answered(8, 2), moved(1.0)).low_success
    assert facts_of(answered(79, 21), moved(1.0)).low_success


def test_a_change_of_exactly_the_threshold_is_stable() -> None:
    assert facts_of(answered(12, 0), moved(0.025)).stable
    assert not facts_of(answered(12, 0), moved(0.02501)).stable


def test_the_stability_floor_counts_successes_and_not_failures() -> None:
    assert facts_of(answered(12, 3), moved(0.0)).stable
    assert not facts_of(answered(11, 2), moved(0.0)).stable  # 13 callbacks: production would stop here


def test_a_low_success_rate_or_no_earlier_score_is_never_stable() -> None:
    assert not facts_of(answered(12, 4), moved(0.0)).stable  # 0.75
    assert not facts_of(replace(answered(12, 0), scores=None), moved(0.0)).stable
    assert not facts_of(answered(12, 0), None).stable  # the rescoring failed


def test_the_cap_is_reached_by_answers_and_the_budget_exhausted_by_questions() -> None:
    before = facts_of(answered(119, 0), moved(1.0))
    assert (before.remaining, before.reached_cap, before.budget_exhausted) == (1, False, False)
    after = facts_of(answered(100, 20), moved(1.0))
    assert (after.remaining, after.reached_cap, after.budget_exhausted) == (0, True, True)


def test_an_essay_without_an_earlier_score_counts_from_zero() -> None:
    assert max_score_change({"a": 1.0}, {"a": 1.1, "b": -0.4}) == pytest.approx(0.4)
    assert max_score_change(None, {"a": 1.0}) is None


@pytest.mark.parametrize(
    ("essays_in_net", "small", "regular", "cap"),
    [
        (3, 4, 1, 4),  # at the bound of 3 the net is small
        (4, 4, 1, 1),  # above it, regular
        (4, 2, 5, 2),  # a regular net never makes more passes than a small one
        (4, 0, 5, 5),  # unless small nets make none, which is not a limit
        (3, 0, 5, 0),
    ],
)
def test_passes_allowed(essays_in_net: int, small: int, regular: int, cap: int) -> None:
    passes = {"max_resampling_passes_for_small_net": small, "max_resampling_passes_for_regular_batch": regular}
    state, _ = start(batch(essays_in_net, **passes))
    assert resampling_cap(state) == cap


@pytest.mark.parametrize(("passes", "covered", "size", "reached"), [
    (4, True, 3, True), (3, True, 3, False), (4, False, 3, False), (4, True, 2, False),
])  # fmt: skip
def test_a_small_net_is_done_when_covered_and_through_its_passes(
    passes: int, covered: bool, size: int, reached: bool
) -> None:
    state, _ = start(batch(3, min_resampling_net_size=size))
    (wave,) = state.waves
    (comparison,) = wave.comparisons
    waves = [wave]
    others = [pair for pair in state.batch.pairs() if pair != comparison.pair]
    for essay_a, essay_b in others[: 2 if covered else 1]:
        waves.append(replace(wave, comparisons=(replace(comparison, essay_a=essay_a, essay_b=essay_b),)))
    waves = [
        replace(w, answers={c.correlation_id: Answer(winner=c.essay_a, error_code=None) for c in w.comparisons})
        for w in waves
    ]
    state = replace(state, waves=tuple(waves), completed=len(waves), resampling_pass_count=passes)
    assert facts_of(state, None).small_cap_reached is reached


def test_a_net_without_a_pair_is_never_covered() -> None:
    # Nought of nought pairs would be all of them.
    for number in (0, 1):
        state, _ = start(batch(number))
        assert not facts_of(state, None).unique_coverage_complete


def test_the_share_that_is_answered_is_a_share_of_the_budget_and_not_of_what_was_asked() -> None:
    assert answered(30, 30).progress == 0.5  # 60 of 120, with nothing in flight


def test_a_request_can_lower_the_budget_and_not_raise_it() -> None:
    asked = batch(4)
    assert replace(asked, max_pairs_requested=8).total_budget == 8
    assert replace(asked, max_pairs_requested=500).total_budget == 120


@pytest.mark.parametrize("requested", [0, -1])
def test_a_budget_that_is_not_positive_is_refused(requested: int) -> None:
    with pytest.raises(UnusableBudget, match=f"bos-1: a budget of {requested} comparisons has no 100 %"):
        replace(batch(4), max_pairs_requested=requested)


def test_a_budget_that_is_null_is_refused() -> None:
    settings = batch(4).settings.model_copy(update={"max_pairwise_comparisons": None})
    with pytest.raises(UnusableBudget, match="budget of None"):
        replace(batch(4), settings=settings)


def test_the_number_of_iterations_is_no_limit() -> None:
    # Production's MAX_ITERATIONS gates a hint and nothing else.
    state = run(batch(8, max_iterations=1, min_comparisons_for_stability_check=1000), higher_item_wins)
    assert len(state.waves) > 2
    assert state.submitted == 56


@pytest.mark.parametrize("kind", list(DecisionKind))
def test_every_decision_is_reached_by_some_batch(kind: DecisionKind) -> None:
    reached = {
        decision.kind
        for asked, judge in (
            (batch(3), higher_item_wins),
            (batch(4), higher_item_wins),
            (batch(4, max_pairwise_comparisons=4), always_fails),
            (batch(3), always_fails),
        )
        for decision in run(asked, judge).decisions
    }
    assert kind in reached
