"""What must come of a batch: one set of assertions for every place where it can run.

Here: rules, each a sentence that an `Evidence` fulfils or not, and holding several of them. Not here: which case is
held to which (suites.py). The limits are production's. Where a rule of production's could not fail, or asked for less
than the batch is known to do, the stronger one stands here and says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from math import isfinite

from cj_pipeline.contracts.cj_events import (
    ASSESSMENT_RESULT_TOPIC,
    CJ_COMPLETED_TOPIC,
    CJ_FAILED_TOPIC,
    RESOURCE_CONSUMPTION_TOPIC,
)
from cj_pipeline.contracts.comparison import MAX_BUNDLE
from cj_pipeline.parity import guardrails
from cj_pipeline.parity.check import Case as ParityCase
from cj_pipeline.runs.record import Sample
from cj_pipeline.traces.scenario import Service as ScenarioService
from tests.services.cj.suites.cases import MODEL, PROVIDER
from tests.services.cj.suites.evidence import Evidence
from tests.sides import GENERIC, scenario

Rule = Callable[[Evidence], None]

# Two floats apart by what no share of at most 1,000 comparisons can be.
ROUNDING = 1e-9


def broken(evidence: Evidence, rules: Iterable[Rule]) -> dict[str, str]:
    """Names of the rules that do not hold, with what they say; one that cannot even be worked out does not."""
    found: dict[str, str] = {}
    for rule in rules:
        try:
            rule(evidence)
        except (AssertionError, ArithmeticError, LookupError, ValueError) as error:
            found[rule.__name__] = f"{type(error).__name__}: {error}"
    return found


def require(evidence: Evidence, rules: Iterable[Rule]) -> None:
    """Raises AssertionError with everything that does not hold."""
    found = broken(evidence, rules)
    assert not found, "\n".join(f"{name}: {why}" for name, why in found.items())


# Every batch.


def the_mock_plays_the_profile(e: Evidence) -> None:
    """Production skips a suite whose service runs another profile, and is green; here it fails."""
    assert (e.mock["use_mock_llm"], e.mock["mock_mode"]) == (True, e.case.mode)


def it_is_completed(e: Evidence) -> None:
    assert e.status == "COMPLETED"
    assert e.upload_status in {"COMPLETE_STABLE", "COMPLETE_MAX_COMPARISONS"}
    assert e.failed_reason is None
    assert set(e.scores) == set(e.case.essays)
    assert all(score is not None and isfinite(score) for score in e.scores.values())


def counters_agree(e: Evidence) -> None:
    """Nothing failed, so submitted, completed and total are one number, which is that of the comparisons."""
    assert e.failed == 0
    assert e.total == e.submitted == e.completed == len(e.compared)
    assert len({shown.correlation_id for shown in e.compared}) == len(e.compared)
    assert e.iterations == len({shown.iteration for shown in e.compared})
    assert all(shown.winner in (shown.essay_a, shown.essay_b) for shown in e.compared)


def the_denominator_is_the_budget(e: Evidence) -> None:
    assert e.total_budget == e.max_pairs_requested == e.case.budget
    assert 0 < e.answered <= e.total_budget


def every_callback_is_on_the_topic_once(e: Evidence) -> None:
    """As many as were counted, for exactly the comparisons that were asked; none besides, whoever they are for."""
    assert len(e.topic) == e.answered
    assert len({event.data.request_id for event in e.topic}) == len(e.topic)
    assert len({event.event_id for event in e.topic}) == len(e.topic)
    assert {event.data.correlation_id for event in e.topic} == {shown.correlation_id for shown in e.compared}
    assert {event.data.request_metadata["bos_batch_id"] for event in e.topic} == {e.case.bos_batch_id}
    assert (e.record.document.duplicate_callbacks, e.record.document.orphan_callbacks) == (0, 0)
    assert e.record.document.late_callbacks == 0


def callbacks_say_what_is_kept(e: Evidence) -> None:
    """Pairs stand in the rows as the judge saw them, with the winner it named."""
    told = {event.data.correlation_id: (*event.data.essay_ids(), event.data.winning_essay()) for event in e.topic}
    assert told == {shown.correlation_id: (shown.essay_a, shown.essay_b, shown.winner) for shown in e.compared}


def scores_are_those_of_the_answers(e: Evidence) -> None:
    """The engine decides on its own state and a service publishes from its rows; both are of the callbacks' winners."""
    wins = Counter({event.data.correlation_id: event.data.winning_essay() for event in e.topic}.values())
    for essay in e.record.document.fit.essays:
        assert essay.wins == wins[essay.essay_id], f"{essay.essay_id}: {essay.wins} wins of {wins[essay.essay_id]}"
        score = e.scores.get(essay.essay_id)
        assert score is not None
        assert abs(score - essay.theta) < 1e-6, f"{essay.essay_id}: {score:g}, of its answers {essay.theta:g}"


def bundle_sizes_are_those_of_the_waves(e: Evidence) -> None:
    """1 to 64; production looks no further, and a hint that is always 1 would pass."""
    waves = Counter(shown.iteration for shown in e.compared)
    wave_of = {shown.correlation_id: shown.iteration for shown in e.compared}
    for event in e.topic:
        told = event.data.request_metadata["preferred_bundle_size"]
        assert type(told) is int
        assert 1 <= told <= 64
        assert told == min(waves[wave_of[event.data.correlation_id]], MAX_BUNDLE)


def no_callback_is_newer_than_the_end(e: Evidence) -> None:
    """Held once by production, and lost since."""
    assert e.completed_at is not None
    newest = max(max(event.event_timestamp, event.data.completed_at) for event in e.topic)
    assert newest <= e.completed_at, f"{newest - e.completed_at} after the end"


def pairs_are_counted(e: Evidence) -> None:
    """As the callbacks count them: distinct unordered pairs with a winner, of all that there are."""
    assert e.max_possible_pairs == e.case.pairs
    assert type(e.successful_pairs_count) is int
    assert e.successful_pairs_count == len(e.won_pairs())
    assert e.unique_coverage_complete is (len(e.won_pairs()) == e.case.pairs)


def passes_are_counted(e: Evidence) -> None:
    """A pass is one wave of its kind; production counts one that sent nothing too."""
    repeated = {shown.iteration for shown in e.compared if shown.kind == "resampling"}
    assert e.resampling_pass_count == len(repeated)


def standard_errors_are_told(e: Evidence) -> None:
    assert {"mean_se", "max_se", "mean_comparisons_per_item", "isolated_items"} <= e.se_summary.keys()
    assert 0.0 < e.se_summary["mean_se"] <= e.se_summary["max_se"] <= 2.0
    assert e.se_summary["mean_comparisons_per_item"] == 2 * e.completed / len(e.case.essays)
    assert e.se_summary["isolated_items"] == sum(at == (0, 0) for at in e.positions().values())


def quality_flags_follow_the_summary(e: Evidence) -> None:
    """Production asks that there be three."""
    summary = e.se_summary
    assert e.quality_flags == {
        "bt_se_inflated": summary["mean_se"] > 0.4 or summary["max_se"] > 0.8,
        "comparison_coverage_sparse": summary["mean_comparisons_per_item"] < 1.0,
        "has_isolated_items": summary["isolated_items"] > 0,
    }


# On /metrics, and on the topics of results.


def the_lps_kept_its_guardrails(e: Evidence) -> None:
    """Production's seven rules for bundles, or those for jobs of batch_api, whichever the LPS worked in."""
    cap = e.case.lps.get("serial_bundle_max_requests_per_call", MAX_BUNDLE)
    in_mode = ScenarioService(queue_processing_mode=e.case.answered_in, serial_bundle_max_requests_per_call=cap)
    case = ParityCase(scenario(GENERIC).model_copy(update={"service": in_mode}), e.record, e.record)
    rules = [rule for rule in guardrails.CHECKS if rule.not_applicable(case) is None]
    assert len(rules) == (7 if e.case.answered_in == "batch_api" else 6)
    for rule in rules:
        outcome = rule.function(case, rule.limits(case.scenario.profile, {}))
        assert outcome.passed, f"{rule.name}: {outcome.sentence} ({outcome.tolerance})"


def the_lps_counts_the_engines_model(e: Evidence) -> None:
    series = "batch_api_jobs" if e.case.answered_in == "batch_api" else "serial_bundle_calls"
    assert _total(e.lps_metrics, f"llm_provider_{series}_total", provider=PROVIDER, model=MODEL) >= 1
    assert _total(e.lps_metrics, f"llm_provider_{series}_total") == _total(
        e.lps_metrics, f"llm_provider_{series}_total", provider=PROVIDER, model=MODEL
    )


def the_cj_service_counts_its_batch(e: Evidence) -> None:
    """Production asks for at least one request and one batch in the mode; here the numbers are the batch's own."""
    if e.service is None:
        return  # an engine has no /metrics
    metrics, mode = e.service.cj_metrics, e.case.asked_in
    for series, number in (("requests", e.submitted), ("batches_started", 1), ("waves_started", e.iterations)):
        name = f"cj_llm_{series}_total"
        assert _total(metrics, name, batching_mode=mode) == _total(metrics, name) == number
        assert number >= 1
    assert _total(metrics, "cj_callbacks_processed_total", status="success") == e.answered
    assert _total(metrics, "cj_callbacks_processed_total") == e.answered
    assert _total(metrics, "cj_comparisons_total", status="completed") == e.completed
    assert _total(metrics, "cj_comparisons_total", status="failed") == e.failed
    assert _total(metrics, "cj_orphan_callbacks_total") == _total(metrics, "cj_uncounted_callbacks_total") == 0
    assert _total(metrics, "cj_quarantined_messages_total") == e.service.quarantined == 0
    assert _total(metrics, "cj_workflow_decisions_total") == len(e.record.document.decisions)
    assert _total(metrics, "cj_batch_state") == _total(metrics, "cj_batch_state", state="COMPLETED") == 1
    assert _total(metrics, "huleedu_cj_comparisons_made_sum") == e.submitted
    assert _total(metrics, "cj_iterations_per_batch_sum") == e.iterations


def the_result_is_published_once(e: Evidence) -> None:
    if e.service is None:
        return  # an engine publishes nothing
    published = {topic: [event["data"] for event in events] for topic, events in e.service.published.items()}
    assert {topic: len(events) for topic, events in published.items()} == {
        ASSESSMENT_RESULT_TOPIC: 1, CJ_COMPLETED_TOPIC: 1, CJ_FAILED_TOPIC: 0, RESOURCE_CONSUMPTION_TOPIC: 1,
    }  # fmt: skip
    (thin,), (rich,) = published[CJ_COMPLETED_TOPIC], published[ASSESSMENT_RESULT_TOPIC]
    (consumed,) = published[RESOURCE_CONSUMPTION_TOPIC]
    essays, summary = len(e.case.essays), thin["processing_summary"]
    assert (thin["entity_id"], thin["status"]) == (e.case.bos_batch_id, "completed_successfully")
    assert (summary["total_essays"], summary["successful"], summary["failed"]) == (essays, essays, 0)
    assert {row["essay_id"]: row["bt_score"] for row in rich["essay_results"]} == dict(e.scores)
    assert min(row["rank"] for row in rich["essay_results"]) == 1
    assert rich["assessment_metadata"]["comparison_count"] == consumed["quantity"] == e.completed


# Fairness.


def skew_is_at_most(limit: float) -> Rule:
    """Of no essay more: the difference of its showings as A and as B, over their sum."""

    def no_essay_stands_too_often_in_one_place(e: Evidence) -> None:
        for essay, (as_a, as_b) in e.positions().items():
            skew = abs(as_a - as_b) / (as_a + as_b)
            assert skew <= limit + ROUNDING, f"{essay}: {as_a} times A, {as_b} times B"

    return no_essay_stands_too_often_in_one_place


def pairs_seen_again_are_turned(e: Evidence) -> None:
    """A pair seen twice was seen in both orders, and in neither more than once more often."""
    for pair, orders in e.orders().items():
        one, other = sorted(pair)
        apart = abs(orders[one, other] - orders[other, one])
        assert apart <= 1, f"{one} and {other}: {dict(orders)}"


def half_of_the_essays_stand_in_both_places(e: Evidence) -> None:
    both = sum(as_a > 0 and as_b > 0 for as_a, as_b in e.positions().values())
    assert 2 * both >= len(e.case.essays), f"{both} of {len(e.case.essays)}"


def every_pair_was_seen_once_in_each_order(e: Evidence) -> None:
    assert len(e.orders()) == e.case.pairs
    assert all(sorted(orders.values()) == [1, 1] for orders in e.orders().values())


def every_essay_stood_eight_times_in_each_place(e: Evidence) -> None:
    """What production's best run of the small net reached."""
    assert set(e.positions().values()) == {(8, 8)}


# Regular batches.


def the_net_is_regular(e: Evidence) -> None:
    assert (e.is_small_net, e.small_net_cap_reached) == (False, False)
    assert 0 <= e.resampling_pass_count <= e.case.engine.get("max_resampling_passes_for_regular_batch", 1) == 1


def the_whole_budget_is_used(e: Evidence) -> None:
    """Every pair once, and what is left of the budget in one pass; production allows anything up to the budget."""
    assert e.total == e.case.budget
    kinds = Counter(shown.kind for shown in e.compared)
    assert kinds == {"coverage": e.case.pairs, "resampling": e.case.budget - e.case.pairs}
    assert e.unique_coverage_complete
    assert e.resampling_pass_count == 1


# Small nets.


def it_is_a_small_net_through_its_passes(e: Evidence) -> None:
    assert (e.is_small_net, e.small_net_cap_reached) == (True, True)
    assert e.resampling_pass_count == e.case.engine["max_resampling_passes_for_small_net"] == 3


def ten_pairs_are_covered(e: Evidence) -> None:
    assert (e.max_possible_pairs, e.successful_pairs_count) == (10, 10)
    assert e.unique_coverage_complete is True


def forty_comparisons_were_made(e: Evidence) -> None:
    """Ten pairs and three passes over them; production asks for more than 10, and no more than were allowed."""
    assert 10 < e.total == 40 <= e.max_pairs_requested
    assert Counter(shown.kind for shown in e.compared) == {"coverage": 10, "resampling": 30}


def every_comparison_succeeded(e: Evidence) -> None:
    assert e.completed == e.answered > 0
    assert all(event.data.succeeded for event in e.topic)


# Batches in the mode of a provider's batch API.


def there_is_one_wave(e: Evidence) -> None:
    """The whole budget at once: nothing is resampled and nothing asked for later."""
    assert e.iterations == 1
    assert {(shown.iteration, shown.kind) for shown in e.compared} == {(0, "coverage")}
    assert e.total == e.case.budget
    assert len({frozenset((shown.essay_a, shown.essay_b)) for shown in e.compared}) == e.total
    assert e.resampling_pass_count == 0


def the_mode_is_kept(e: Evidence) -> None:
    """The request's mode, though the service's own is another; the LPS is told, and keeps what it did."""
    assert e.case.engine["llm_batching_mode"] == "serial_bundle"
    assert e.batching_mode == "provider_batch_api"
    for event in e.topic:
        assert event.data.request_metadata["cj_llm_batching_mode"] == "provider_batch_api"
        assert event.data.request_metadata["queue_processing_mode"] == "batch_api"


def the_request_keeps_its_override(e: Evidence) -> None:
    """In production's place for it, which its extracts and its continuation read."""
    if e.service is None:
        return  # an engine keeps no request
    overrides = e.service.original_request.get("batch_config_overrides") or {}
    assert overrides.get("llm_batching_mode_override") == "provider_batch_api"


def jobs_waited_and_came_to_their_end(e: Evidence) -> None:
    waits = "llm_provider_queue_wait_time_seconds"
    assert _total(e.lps_metrics, f"{waits}_count", queue_processing_mode="batch_api") == e.answered > 0
    jobs = "llm_provider_batch_api_jobs_total"
    scheduled = _total(e.lps_metrics, jobs, status="scheduled")
    assert 1 <= scheduled == _total(e.lps_metrics, jobs, status="completed")
    assert _total(e.lps_metrics, "llm_provider_batch_api_items_per_job_sum") == e.answered
    assert _total(e.lps_metrics, "llm_provider_batch_api_job_duration_seconds_count") == scheduled


def _total(samples: Iterable[Sample], name: str, **labels: str) -> float:
    return sum(
        sample.value
        for sample in samples
        if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
    )
