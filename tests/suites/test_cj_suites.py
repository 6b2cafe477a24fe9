"""Production's suites of a CJ service: a service in this process keeps every rule, and each rule can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, EventEnvelope
from cj_pipeline.contracts.cj_events import (
    ASSESSMENT_RESULT_TOPIC,
    CJ_COMPLETED_TOPIC,
    AssessmentResultV1,
    CJAssessmentCompletedV1,
)
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.runs.cj_service import CjAnswer
from cj_pipeline.runs.record import Sample
from cj_pipeline.runs.service_metrics import parse_metrics
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.suites.cj_cases import CASES, CjCase, bos_batch_id, request_of
from cj_pipeline.suites.cj_rules import CjPlayed, rules_of
from cj_pipeline.suites.result import Verdict
from tests.services.cj.lab import world

EVERY_CASE = [case for cases in CASES.values() for case in cases]

# What production's workflow sets both services to.
CJ: Mapping[str, Any] = {
    "default_llm_provider": "openai",
    "default_llm_model": "gpt-5.1",
    "enable_llm_batching_metadata_hints": True,
    "max_pairwise_comparisons": 288,
    "min_comparisons_for_stability_check": 289,
    "min_resampling_net_size": 5,
    "max_resampling_passes_for_small_net": 3,
}


def case_of(name: str) -> CjCase:
    return next(case for case in EVERY_CASE if case.name == name)


@cache
def played(name: str, **settings: Any) -> CjPlayed:
    """A batch of a service in this process, as the bus and its /metrics tell of it."""
    case = case_of(name)

    async def script() -> CjPlayed:
        lps = {"queue_processing_mode": case.strategy, "mock_latency_ms": 0}
        async with world(case.mode, lps=lps, **(CJ | settings)) as w, w.service() as service:
            storage_ids = {essay: f"text-{essay}" for essay in case.essays}
            await w.ask(request_of(case, storage_ids, "one").model_dump_json(exclude_none=True).encode())
            thin = EventEnvelope[CJAssessmentCompletedV1].model_validate(await w.next_event(CJ_COMPLETED_TOPIC))
            rich = EventEnvelope[AssessmentResultV1].model_validate(await w.next_event(ASSESSMENT_RESULT_TOPIC))
            await asyncio.sleep(1.0)
            events = tuple(CallbackEvent.model_validate(event) for event in w.events(COMPARISON_RESULT_TOPIC))
            metrics = parse_metrics(service.metrics.exposition(await service.batches_by_state()).decode())
            return CjPlayed(case, bos_batch_id(case, "one"), CjAnswer(rich.data, None, thin.data), events, metrics)

    return run_virtual(script())


def verdicts(found: CjPlayed) -> dict[str, Verdict]:
    return {rule.name: rule.verdict for rule in rules_of(found)}


def failed(found: CjPlayed) -> set[str]:
    return {name for name, verdict in verdicts(found).items() if verdict is Verdict.FAIL}


@pytest.mark.parametrize("case", EVERY_CASE, ids=lambda case: case.name)
def test_a_batch_of_our_service_keeps_every_rule(case: CjCase) -> None:
    found = verdicts(played(case.name))
    assert set(found.values()) == {Verdict.PASS}
    assert len(found) == {"resampling": 12, "callbacks": 9, "small-net": 13, "provider-batch": 9}[case.name]


def echoing(**metadata: Any) -> Callable[[CallbackEvent], CallbackEvent]:
    def change(event: CallbackEvent) -> CallbackEvent:
        told = {**event.data.request_metadata, **metadata}
        return event.model_copy(update={"data": event.data.model_copy(update={"request_metadata": told})})

    return change


def turned(event: CallbackEvent) -> CallbackEvent:
    a, b = event.data.essay_ids()
    return echoing(essay_a_id=b, essay_b_id=a)(event)


def in_one_order(event: CallbackEvent) -> CallbackEvent:
    a, b = event.data.essay_ids()
    return event if a < b else turned(event)


def halves(event: CallbackEvent) -> CallbackEvent:
    """An essay of the first half as A, one of the second as B."""
    a, b = sorted(event.data.essay_ids())
    return echoing(essay_a_id=a[:-2] + "01", essay_b_id=b)(event)


Change = Callable[[CjPlayed], CjPlayed]


def every(change: Callable[[CallbackEvent], CallbackEvent]) -> Change:
    return lambda found: replace(found, events=tuple(map(change, found.events)))


def last(change: Callable[[CallbackEvent], CallbackEvent]) -> Change:
    return lambda found: replace(found, events=(*found.events[:-1], change(found.events[-1])))


def metric(name: str, value: float) -> Change:
    def change(found: CjPlayed) -> CjPlayed:
        others = tuple(sample for sample in found.cj_metrics if sample.name != name)
        labels = {"batching_mode": "serial_bundle"}
        return replace(found, cj_metrics=(*others, Sample(name=name, labels=labels, value=value)))

    return change


def later(event: CallbackEvent) -> CallbackEvent:
    return event.model_copy(update={"event_timestamp": event.event_timestamp + timedelta(days=1)})


BROKEN: list[tuple[str, str, Change]] = [
    ("callbacks", "completed", lambda found: replace(found, answer=CjAnswer(None, "low_success_rate"))),
    ("callbacks", "completed", lambda found: replace(found, case=replace(found.case, essays=found.case.essays[1:]))),
    ("callbacks", "on_topic", lambda found: replace(found, events=found.events[1:])),
    ("callbacks", "on_topic", lambda found: replace(found, events=(*found.events, found.events[0]))),
    ("callbacks", "budget", lambda found: replace(found, case=replace(found.case, budget=10))),
    ("callbacks", "bundle_sizes", last(echoing(preferred_bundle_size=65))),
    ("callbacks", "bundle_sizes", last(echoing(preferred_bundle_size=True))),
    ("callbacks", "bundle_sizes", last(echoing(preferred_bundle_size=None))),
    ("callbacks", "end", last(later)),
    ("callbacks", "mode", last(echoing(queue_processing_mode="per_request"))),
    ("provider-batch", "mode", last(echoing(cj_llm_batching_mode="serial_bundle"))),
    ("resampling", "skew", every(in_one_order)),
    ("resampling", "orders", every(in_one_order)),
    ("resampling", "both_places", every(halves)),
    ("small-net", "passes", last(echoing(essay_a_id="eng5-lower5-anchor-01", essay_b_id="eng5-lower5-anchor-02"))),
    ("callbacks", "cj_llm_requests_total", metric("cj_llm_requests_total", 0)),
    ("callbacks", "cj_llm_batches_started_total", metric("cj_llm_batches_started_total", 0)),
    ("callbacks", "orphans", metric("cj_orphan_callbacks_total", 1)),
]


@pytest.mark.parametrize(("name", "rule", "change"), BROKEN)
def test_a_rule_breaks_for_what_it_is_about(name: str, rule: str, change: Change) -> None:
    assert rule in failed(change(played(name)))


def test_every_rule_was_seen_to_break() -> None:
    assert {name for case in EVERY_CASE for name in verdicts(played(case.name))} == {rule for _, rule, _ in BROKEN}


def test_a_service_that_sends_no_hints_is_not_asked_for_them() -> None:
    found = played("callbacks", enable_llm_batching_metadata_hints=False)
    assert verdicts(found)["bundle_sizes"] is Verdict.SKIP
    assert failed(found) == set()


@pytest.mark.parametrize(
    ("name", "settings", "rule", "words"),
    [
        ("small-net", {"min_resampling_net_size": 3}, "passes", "MIN_RESAMPLING_NET_SIZE=5"),
        ("resampling", {"max_pairwise_comparisons": 120}, "skew", "MAX_PAIRWISE_COMPARISONS"),
    ],
)
def test_a_service_that_is_set_up_otherwise_is_told_what_to_set(
    name: str, settings: dict[str, Any], rule: str, words: str
) -> None:
    (sentence,) = [one.sentence for one in rules_of(played(name, **settings)) if one.name == rule]
    assert words in sentence
