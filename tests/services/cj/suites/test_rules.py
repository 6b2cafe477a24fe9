"""No rule holds whatever it is shown: each breaks for evidence of a good batch in which one thing was changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC
from cj_pipeline.runs.record import Sample
from tests.services.cj.suites import cases, suites
from tests.services.cj.suites.cases import Case
from tests.services.cj.suites.evidence import Evidence
from tests.services.cj.suites.rules import Rule, broken
from tests.services.cj.suites.targets import IN_PROCESS, ran

Change = Callable[[Evidence], Evidence]


def having(**fields: Any) -> Change:
    """Other values of some fields."""
    return lambda evidence: replace(evidence, **fields)


def forgetful(evidence: Evidence) -> Evidence:
    """A service that did not keep what it was asked."""
    assert evidence.service is not None
    return replace(evidence, service=replace(evidence.service, original_request={}))


def one_more(field: str) -> Change:
    return lambda evidence: replace(evidence, **{field: getattr(evidence, field) + 1})


def last_callback(change: Callable[[CallbackEvent], CallbackEvent]) -> Change:
    return lambda evidence: replace(evidence, topic=(*evidence.topic[:-1], change(evidence.topic[-1])))


def echoing(**metadata: Any) -> Callable[[CallbackEvent], CallbackEvent]:
    """A callback whose request's metadata said something else."""

    def change(event: CallbackEvent) -> CallbackEvent:
        told = {**event.data.request_metadata, **metadata}
        return event.model_copy(update={"data": event.data.model_copy(update={"request_metadata": told})})

    return change


def turned(event: CallbackEvent) -> CallbackEvent:
    """The pair as if it had been shown the other way round."""
    essay_a, essay_b = event.data.essay_ids()
    return echoing(essay_a_id=essay_b, essay_b_id=essay_a)(event)


def all_of_it(change: Callable[[CallbackEvent], CallbackEvent]) -> Change:
    return lambda evidence: replace(evidence, topic=tuple(map(change, evidence.topic)))


def in_one_order(event: CallbackEvent) -> CallbackEvent:
    first, second = event.data.essay_ids()
    return event if first < second else turned(event)


def halves(event: CallbackEvent) -> CallbackEvent:
    """Comparisons of an upper with a lower essay only, the upper one always A."""
    number = int(event.data.correlation_id) % 144
    return echoing(essay_a_id=f"essay-{number // 12 + 1:02d}", essay_b_id=f"essay-{number % 12 + 13:02d}")(event)


def later(event: CallbackEvent) -> CallbackEvent:
    return event.model_copy(update={"event_timestamp": event.event_timestamp + timedelta(milliseconds=1)})


def lps_metric(name: str, value: float, **labels: str) -> Change:
    """One series of the LPS with another value."""

    def change(evidence: Evidence) -> Evidence:
        samples = tuple(_changed(sample, name, value, labels) for sample in evidence.lps_metrics)
        assert samples != evidence.lps_metrics, f"no {name}"
        document = evidence.record.document.model_copy(update={"service_metrics": samples})
        return replace(evidence, lps_metrics=samples, record=evidence.record.model_copy(update={"document": document}))

    return change


def cj_metric(name: str, value: float, **labels: str) -> Change:
    """One series of the CJ service with another value."""

    def change(evidence: Evidence) -> Evidence:
        assert evidence.service is not None
        samples = tuple(_changed(sample, name, value, labels) for sample in evidence.service.cj_metrics)
        assert samples != evidence.service.cj_metrics, f"no {name}"
        return replace(evidence, service=replace(evidence.service, cj_metrics=samples))

    return change


def _changed(sample: Sample, name: str, value: float, labels: dict[str, str]) -> Sample:
    if sample.name == name and labels.items() <= sample.labels.items():
        return sample.model_copy(update={"value": value})
    return sample


def told_twice(evidence: Evidence) -> Evidence:
    """The end of the batch, published a second time."""
    assert evidence.service is not None
    published = dict(evidence.service.published)
    published[CJ_COMPLETED_TOPIC] = [*published[CJ_COMPLETED_TOPIC]] * 2
    return replace(evidence, service=replace(evidence.service, published=published))


def without_last_callback(evidence: Evidence) -> Evidence:
    return replace(evidence, topic=evidence.topic[:-1])


def with_a_callback_again(evidence: Evidence) -> Evidence:
    return replace(evidence, topic=(*evidence.topic, evidence.topic[0]))


def other_scores(evidence: Evidence) -> Evidence:
    return replace(evidence, scores=dict.fromkeys(evidence.scores, 0.5))


def one_score_missing(evidence: Evidence) -> Evidence:
    return replace(evidence, scores={**evidence.scores, evidence.case.essays[0]: None})


def se(**summary: float) -> Change:
    return lambda evidence: replace(evidence, se_summary={**evidence.se_summary, **summary})


def kinds(kind: str) -> Change:
    """The last comparison is of another kind."""

    def change(evidence: Evidence) -> Evidence:
        return replace(evidence, compared=(*evidence.compared[:-1], replace(evidence.compared[-1], kind=kind)))

    return change


SMALL: list[tuple[str, str, Change]] = [
    ("the_mock_plays_the_profile", "another mode", having(mock={"use_mock_llm": True, "mock_mode": "default"})),
    ("the_mock_plays_the_profile", "no mock", having(mock={"use_mock_llm": False, "mock_mode": cases.SMALL_NET.mode})),
    ("it_is_completed", "failed", having(status="FAILED")),
    ("it_is_completed", "recovered", having(upload_status="COMPLETE_FORCED_RECOVERY")),
    ("it_is_completed", "a reason", having(failed_reason={"reason": "low_success_rate"})),
    ("it_is_completed", "no score", one_score_missing),
    ("counters_agree", "one failed", one_more("failed")),
    ("counters_agree", "one more submitted", one_more("submitted")),
    ("counters_agree", "one more completed", one_more("completed")),
    ("counters_agree", "total is not cumulative", having(total=10)),
    ("counters_agree", "one more wave", one_more("iterations")),
    ("the_denominator_is_the_budget", "nC2", having(total_budget=10)),
    ("the_denominator_is_the_budget", "above the request", having(total_budget=288, max_pairs_requested=288)),
    ("the_denominator_is_the_budget", "nothing answered", having(completed=0)),
    ("every_callback_is_on_the_topic_once", "one missing", without_last_callback),
    ("every_callback_is_on_the_topic_once", "one twice", with_a_callback_again),
    (
        "every_callback_is_on_the_topic_once",
        "one of another batch",
        last_callback(echoing(bos_batch_id="bos-other")),
    ),
    ("callbacks_say_what_is_kept", "one turned", last_callback(turned)),
    ("scores_are_those_of_the_answers", "other scores", other_scores),
    ("scores_are_those_of_the_answers", "another winner", last_callback(turned)),
    ("bundle_sizes_are_those_of_the_waves", "none", last_callback(echoing(preferred_bundle_size=None))),
    ("bundle_sizes_are_those_of_the_waves", "zero", last_callback(echoing(preferred_bundle_size=0))),
    ("bundle_sizes_are_those_of_the_waves", "65", last_callback(echoing(preferred_bundle_size=65))),
    ("bundle_sizes_are_those_of_the_waves", "no int", last_callback(echoing(preferred_bundle_size=True))),
    ("bundle_sizes_are_those_of_the_waves", "not the wave's", last_callback(echoing(preferred_bundle_size=9))),
    ("no_callback_is_newer_than_the_end", "one is", last_callback(later)),
    ("no_callback_is_newer_than_the_end", "no end", having(completed_at=None)),
    ("pairs_are_counted", "more", one_more("successful_pairs_count")),
    ("pairs_are_counted", "a float", having(successful_pairs_count=10.0)),
    ("pairs_are_counted", "not latched", having(unique_coverage_complete=False)),
    ("passes_are_counted", "one more", one_more("resampling_pass_count")),
    ("standard_errors_are_told", "none", having(se_summary={})),
    ("standard_errors_are_told", "an isolated one", se(isolated_items=1)),
    ("standard_errors_are_told", "a mean above the largest", se(mean_se=1.9, max_se=1.8)),
    ("standard_errors_are_told", "other counts", se(mean_comparisons_per_item=8)),
    ("quality_flags_follow_the_summary", "none", having(quality_flags={})),
    ("quality_flags_follow_the_summary", "a sparse one", se(mean_comparisons_per_item=0.5)),
    ("the_lps_kept_its_guardrails", "no call", lps_metric("llm_provider_serial_bundle_calls_total", 0.0)),
    ("the_lps_kept_its_guardrails", "too long a wait", lps_metric("llm_provider_queue_wait_time_seconds_sum", 1e5)),
    ("the_lps_kept_its_guardrails", "a callback lost", lps_metric("llm_provider_comparison_callbacks_total", 39.0)),
    ("the_lps_kept_its_guardrails", "a deep queue", lps_metric("llm_provider_queue_depth", 1001.0)),
    ("the_lps_counts_the_engines_model", "no call", lps_metric("llm_provider_serial_bundle_calls_total", 0.0)),
    ("the_cj_service_counts_its_batch", "requests", cj_metric("cj_llm_requests_total", 0.0)),
    ("the_cj_service_counts_its_batch", "waves", cj_metric("cj_llm_waves_started_total", 1.0)),
    ("the_cj_service_counts_its_batch", "callbacks", cj_metric("cj_callbacks_processed_total", 41.0)),
    ("the_cj_service_counts_its_batch", "comparisons", cj_metric("cj_comparisons_total", 41.0)),
    ("the_cj_service_counts_its_batch", "decisions", cj_metric("cj_workflow_decisions_total", 0.0)),
    ("the_cj_service_counts_its_batch", "state", cj_metric("cj_batch_state", 0.0, state="COMPLETED")),
    ("the_result_is_published_once", "twice", told_twice),
    ("it_is_a_small_net_through_its_passes", "regular", having(is_small_net=False)),
    ("it_is_a_small_net_through_its_passes", "cap not reached", having(small_net_cap_reached=False)),
    ("it_is_a_small_net_through_its_passes", "two passes", having(resampling_pass_count=2)),
    ("ten_pairs_are_covered", "nine", having(successful_pairs_count=9)),
    ("ten_pairs_are_covered", "not complete", having(unique_coverage_complete=False)),
    ("forty_comparisons_were_made", "ten", having(total=10)),
    ("forty_comparisons_were_made", "over the request", having(max_pairs_requested=39)),
    ("forty_comparisons_were_made", "other kinds", kinds("coverage")),
    ("every_comparison_succeeded", "one failed", having(completed=39, failed=1)),
    ("no_essay_stands_too_often_in_one_place", "in one order", all_of_it(in_one_order)),
    ("every_essay_stood_eight_times_in_each_place", "one turned", last_callback(turned)),
    ("pairs_seen_again_are_turned", "one turned", last_callback(turned)),
]

REGULAR: list[tuple[str, str, Change]] = [
    ("the_net_is_regular", "small", having(is_small_net=True)),
    ("the_net_is_regular", "two passes", having(resampling_pass_count=2)),
    ("the_whole_budget_is_used", "one less", having(total=287)),
    ("the_whole_budget_is_used", "no pass", having(resampling_pass_count=0)),
    ("the_whole_budget_is_used", "other kinds", kinds("coverage")),
    ("no_essay_stands_too_often_in_one_place", "in one order", all_of_it(in_one_order)),
    ("pairs_seen_again_are_turned", "in one order", all_of_it(in_one_order)),
    ("half_of_the_essays_stand_in_both_places", "halves", all_of_it(halves)),
]

TWICE: list[tuple[str, str, Change]] = [
    ("no_essay_stands_too_often_in_one_place", "one turned", last_callback(turned)),
    ("every_pair_was_seen_once_in_each_order", "one turned", last_callback(turned)),
    ("every_pair_was_seen_once_in_each_order", "one missing", without_last_callback),
]

PROVIDER: list[tuple[str, str, Change]] = [
    ("there_is_one_wave", "two", having(iterations=2)),
    ("there_is_one_wave", "a pass", having(resampling_pass_count=1)),
    ("there_is_one_wave", "less than the budget", having(total=59)),
    ("the_mode_is_kept", "lost", having(batching_mode="serial_bundle")),
    ("the_mode_is_kept", "not told", last_callback(echoing(cj_llm_batching_mode="serial_bundle"))),
    ("the_request_keeps_its_override", "lost", forgetful),
    ("the_mode_is_kept", "not done", last_callback(echoing(queue_processing_mode="per_request"))),
    (
        "jobs_waited_and_came_to_their_end",
        "one failed",
        lps_metric("llm_provider_batch_api_jobs_total", 0.0, status="completed"),
    ),
    ("jobs_waited_and_came_to_their_end", "no wait", lps_metric("llm_provider_queue_wait_time_seconds_count", 0.0)),
    (
        "the_lps_kept_its_guardrails",
        "none scheduled",
        lps_metric("llm_provider_batch_api_jobs_total", 0.0, status="scheduled"),
    ),
    ("the_lps_counts_the_engines_model", "no job", lps_metric("llm_provider_batch_api_jobs_total", 0.0)),
    ("the_cj_service_counts_its_batch", "no batch", cj_metric("cj_llm_batches_started_total", 0.0)),
]

SUITES: list[tuple[Case, tuple[Rule, ...], list[tuple[str, str, Change]]]] = [
    (cases.SMALL_NET, suites.SMALL_NET, SMALL),
    (cases.RESAMPLING, suites.RESAMPLING, REGULAR),
    (cases.TWICE, suites.TWICE, TWICE),
    (cases.PROVIDER_BATCH, suites.PROVIDER_BATCH, PROVIDER),
]


@pytest.mark.parametrize(
    ("case", "suite", "rule", "change"),
    [
        pytest.param(case, suite, rule, change, id=f"{case.name}-{rule}-{what}".replace(" ", "_"))
        for case, suite, changes in SUITES
        for rule, what, change in changes
    ],
)
def test_a_rule_breaks_for_what_it_is_about(case: Case, suite: tuple[Rule, ...], rule: str, change: Change) -> None:
    evidence = ran(IN_PROCESS, case.name)
    named = [one for one in suite if one.__name__ == rule]
    assert broken(evidence, named) == {}
    # Noticed by the rule itself, not by stumbling over what it was shown.
    assert broken(change(evidence), named)[rule].startswith("AssertionError")


def test_every_rule_of_every_suite_was_seen_to_break() -> None:
    seen = {rule for _, _, changes in SUITES for rule, _, _ in changes}
    assert {rule.__name__ for _, suite, _ in SUITES for rule in (*suite, *suites.CALLBACKS)} == seen
