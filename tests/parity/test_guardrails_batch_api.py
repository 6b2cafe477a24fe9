"""The guardrails on a service in batch_api mode: which apply, and that each can turn red."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.parity.compare import CheckResult, ParityReport, Verdict, compare
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.runs.scenario_run import run_live
from cj_pipeline.traces.scenario import SCENARIO_FILE, Scenario, Service
from tests.sides import GENERIC, LOWER5, TRACES, recorded, session_cache, trace


@cache
def in_batch_api(scenario_id: str) -> tuple[Scenario, RunRecord]:
    """The scenario with its service in batch_api mode, and its live side."""
    found = trace(scenario_id)
    scenario = found.scenario.model_copy(
        update={"service": Service(queue_processing_mode=QueueProcessingMode.BATCH_API)}
    )
    mode = scenario_mode(scenario, "", scenario_file=TRACES / scenario_id / SCENARIO_FILE)
    return scenario, run_live(scenario, [line.event for line in found.callbacks.events], mode)


def report(scenario_id: str, live: RunRecord) -> ParityReport:
    sides = recorded(scenario_id), live
    return compare(in_batch_api(scenario_id)[0], *sides, scenario_file="scenario.yaml", cached=session_cache())


def result(check: str, live: RunRecord) -> CheckResult:
    return next(result for result in report(LOWER5, live).results if result.check.name == check)


def with_samples(name: str, change: Callable[[float], float], **labels: str) -> RunRecord:
    """LOWER5's live side with every sample of a series that has these labels changed."""
    record = in_batch_api(LOWER5)[1]
    samples = tuple(
        sample.model_copy(update={"value": change(sample.value)})
        if sample.name == f"llm_provider_{name}" and labels.items() <= sample.labels.items()
        else sample
        for sample in record.document.service_metrics
    )
    assert samples != record.document.service_metrics, "no such sample"
    return record.model_copy(update={"document": record.document.model_copy(update={"service_metrics": samples})})


def none(_: float) -> float:
    return 0.0


def one_less(value: float) -> float:
    return value - 1


WRONG_IN_BATCH_API: dict[str, list[Callable[[], RunRecord]]] = {
    "guardrail_batch_jobs": [
        lambda: with_samples("batch_api_jobs_total", none),
        lambda: with_samples("batch_api_jobs_total", one_less, status="completed"),
    ],
    "guardrail_batch_items": [
        lambda: with_samples("batch_api_items_per_job_count", one_less),
        lambda: with_samples("batch_api_items_per_job_bucket", none),  # every job is larger than any bound
    ],
    "guardrail_batch_duration": [
        lambda: with_samples("batch_api_job_duration_seconds_count", none),
        lambda: with_samples("batch_api_job_duration_seconds_count", one_less),
    ],
    "guardrail_queue_wait": [lambda: with_samples("queue_wait_time_seconds_sum", lambda _: 1e6)],
    "guardrail_results": [lambda: with_samples("queue_wait_time_seconds_count", none)],
    "guardrail_callbacks": [lambda: with_samples("comparison_callbacks_total", one_less)],
}

NOT_IN_BATCH_API = {"guardrail_bundle_calls", "guardrail_bundle_items"}


@pytest.mark.parametrize("check", WRONG_IN_BATCH_API)
def test_a_service_that_is_wrong_in_this_respect_turns_the_guardrail_red(check: str) -> None:
    assert result(check, in_batch_api(LOWER5)[1]).verdict is Verdict.PASS
    for wrong in WRONG_IN_BATCH_API[check]:
        assert result(check, wrong()).verdict is Verdict.FAIL


@pytest.mark.parametrize("scenario_id", [GENERIC, LOWER5])
def test_a_faithful_mock_passes_in_batch_api_mode_too(scenario_id: str) -> None:
    found = report(scenario_id, in_batch_api(scenario_id)[1])
    assert {result.check.name for result in found.failed} == set()
    asked = {result.check.name for result in found.results if result.verdict is Verdict.PASS}
    assert {"guardrail_batch_jobs", "guardrail_batch_items", "guardrail_batch_duration"} <= asked
    assert not NOT_IN_BATCH_API & asked


def test_in_serial_bundles_the_rules_on_jobs_do_not_apply() -> None:
    scenario, live = in_batch_api(LOWER5)
    bundled = scenario.model_copy(update={"service": Service()})
    off = {
        result.check.name
        for result in compare(
            bundled, recorded(LOWER5), live, scenario_file="scenario.yaml", cached=session_cache()
        ).results
        if result.check.name.startswith("guardrail_batch") and result.verdict not in (Verdict.PASS, Verdict.FAIL)
    }
    assert off == {"guardrail_batch_jobs", "guardrail_batch_items", "guardrail_batch_duration"}
