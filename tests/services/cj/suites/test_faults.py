"""Wrong engines fail: each fault breaks the rules that it should, wherever it is planted."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest

from tests.services.cj.suites import cases, faults, rules, suites
from tests.services.cj.suites.cases import Case
from tests.services.cj.suites.faults import Fault, RepeatingBus
from tests.services.cj.suites.rules import Rule, broken
from tests.services.cj.suites.targets import ENGINE, IN_PROCESS, Engine, InProcess, Target

EMBEDDED = pytest.mark.parametrize("target", [ENGINE, IN_PROCESS], ids=lambda target: target.name)
REPEATING = pytest.mark.parametrize(
    "target", [Engine(bus=RepeatingBus), InProcess(bus=RepeatingBus)], ids=lambda target: target.name
)

# Three bundles a wave, so that some of its callbacks are later than others.
SMALL_BUNDLES = replace(
    cases.CALLBACKS, lps={"queue_processing_mode": "serial_bundle", "serial_bundle_max_requests_per_call": 4}
)


def broken_by(fault: Fault, target: Target, case: Case, suite: tuple[Rule, ...]) -> set[str]:
    with fault():
        evidence = target.run(case)
    return set(broken(evidence, suite))


@EMBEDDED
@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (faults.orientation_is_off, "no_essay_stands_too_often_in_one_place pairs_seen_again_are_turned"),
        (faults.orientation_is_a_coin, "no_essay_stands_too_often_in_one_place pairs_seen_again_are_turned"),
        (faults.nothing_is_resampled, "it_is_a_small_net_through_its_passes forty_comparisons_were_made"),
        (faults.one_pass_is_enough, "it_is_a_small_net_through_its_passes forty_comparisons_were_made"),
        (faults.passes_are_not_counted, "passes_are_counted it_is_a_small_net_through_its_passes"),
        (faults.orders_are_pairs, "pairs_are_counted ten_pairs_are_covered"),
        (faults.hints_are_one, "bundle_sizes_are_those_of_the_waves"),
        (faults.essay_a_is_the_one_that_lost, "scores_are_those_of_the_answers"),
        (faults.ends_early, "counters_agree every_callback_is_on_the_topic_once ten_pairs_are_covered"),
    ],
    ids=lambda argument: getattr(argument, "__name__", ""),
)
def test_a_small_net_under_a_wrong_engine_breaks_its_rules(target: Target, fault: Fault, named: str) -> None:
    assert set(named.split()) <= broken_by(fault, target, cases.SMALL_NET, suites.SMALL_NET)


@pytest.mark.parametrize(
    ("fault", "case", "suite", "named"),
    [
        (
            faults.orientation_is_off,
            cases.RESAMPLING,
            suites.RESAMPLING,
            "no_essay_stands_too_often_in_one_place pairs_seen_again_are_turned",
        ),
        (
            faults.orientation_is_a_coin,
            cases.TWICE,
            suites.TWICE,
            "no_essay_stands_too_often_in_one_place every_pair_was_seen_once_in_each_order",
        ),
        (faults.nothing_is_resampled, cases.RESAMPLING, suites.RESAMPLING, "the_whole_budget_is_used"),
        (faults.orders_are_pairs, cases.RESAMPLING, suites.RESAMPLING, "pairs_are_counted"),
        (faults.hints_have_no_cap, cases.TWICE, suites.TWICE, "bundle_sizes_are_those_of_the_waves"),
    ],
    ids=lambda argument: getattr(argument, "__name__", ""),
)
def test_a_regular_batch_under_a_wrong_engine_breaks_its_rules(
    fault: Fault, case: Case, suite: tuple[Rule, ...], named: str
) -> None:
    assert set(named.split()) <= broken_by(fault, ENGINE, case, suite)


@EMBEDDED
def test_a_batch_that_ends_while_callbacks_are_on_their_way_is_older_than_they_are(target: Target) -> None:
    assert {
        "no_callback_is_newer_than_the_end",
        "counters_agree",
        "every_callback_is_on_the_topic_once",
    } <= broken_by(faults.ends_early, target, SMALL_BUNDLES, suites.CALLBACKS)


@EMBEDDED
@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (faults.the_single_wave_is_a_matching, "there_is_one_wave"),
        (faults.the_single_wave_is_not_the_last, "there_is_one_wave"),
        (faults.the_requested_mode_is_lost, "there_is_one_wave the_mode_is_kept"),
    ],
    ids=lambda argument: getattr(argument, "__name__", ""),
)
def test_a_providers_batch_under_a_wrong_engine_breaks_its_rules(target: Target, fault: Fault, named: str) -> None:
    assert set(named.split()) <= broken_by(fault, target, cases.PROVIDER_BATCH, suites.PROVIDER_BATCH)


@REPEATING
def test_callbacks_that_come_twice_change_nothing_but_the_topic(target: Target) -> None:
    # 40 comparisons, 3 of them answered twice: more on the topic than were counted, and everything else as ever.
    seen = broken_by(nullcontext, target, cases.SMALL_NET, suites.SMALL_NET)
    on_the_topic = {"every_callback_is_on_the_topic_once", "the_lps_kept_its_guardrails"}
    assert seen - {"the_cj_service_counts_its_batch"} == on_the_topic
    assert ("the_cj_service_counts_its_batch" in seen) is (target.name == IN_PROCESS.name)


@REPEATING
def test_an_engine_that_counts_them_twice_breaks_the_counters(target: Target) -> None:
    seen = broken_by(faults.duplicates_count, target, cases.SMALL_NET, suites.SMALL_NET)
    assert {"counters_agree", "standard_errors_are_told"} <= seen


def test_a_batch_over_its_budget_breaks_the_denominator() -> None:
    with faults.duplicates_count():
        evidence = Engine(bus=RepeatingBus).run(cases.CALLBACKS)
    # 288 comparisons, 28 of them answered twice: 110 %.
    assert evidence.completed == 316
    assert "the_denominator_is_the_budget" in broken(evidence, suites.CALLBACKS)


@pytest.mark.parametrize("mode", ["cj_generic_batch+instant", "eng5_lower5_gpt51_low"])
def test_another_profile_fails_instead_of_being_skipped(mode: str) -> None:
    evidence = ENGINE.run(replace(cases.PROVIDER_BATCH, mode=mode))
    asked = replace(evidence, case=cases.PROVIDER_BATCH)
    assert "the_mock_plays_the_profile" in broken(asked, suites.PROVIDER_BATCH)


def test_an_lps_in_another_mode_has_no_jobs_to_show() -> None:
    evidence = ENGINE.run(replace(cases.PROVIDER_BATCH, lps={"queue_processing_mode": "serial_bundle"}))
    asked = replace(evidence, case=cases.PROVIDER_BATCH)
    assert {
        rules.jobs_waited_and_came_to_their_end.__name__,
        rules.the_lps_kept_its_guardrails.__name__,
        rules.the_lps_counts_the_engines_model.__name__,
    } <= broken(asked, suites.PROVIDER_BATCH).keys()
