"""Every series is written by something that happens, under production's name."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.http.endpoints import build_app
from cj_pipeline.services.cj.service import CjAssessmentService
from cj_pipeline.services.cj.store.tables import batch_states
from tests.services.cj.buses import ForgetfulBus
from tests.services.cj.lab import World, request, world
from tests.services.cj.test_monitor import swallow_after

PRODUCTION = {
    "cj_assessment_http_requests_total",
    "cj_assessment_http_request_duration_seconds",
    "cj_assessment_llm_api_calls_total",
    "huleedu_cj_assessment_duration_seconds",
    "kafka_message_queue_latency_seconds",
    "cj_callbacks_processed_total",
    "cj_callback_latency_seconds",
    "cj_callback_processing_duration_seconds",
    "cj_comparisons_total",
    "cj_stuck_batches_detected",
    "cj_stuck_batches_recovered_total",
    "cj_stuck_batches_failed_total",
    "cj_failed_comparisons_total",
    "cj_retry_batches_submitted_total",
    "cj_successful_retries_total",
    "cj_permanently_failed_comparisons_total",
    "cj_failed_pool_size",
    "huleedu_cj_prompt_fetch_failures_total",
    "huleedu_cj_prompt_fetch_success_total",
    "cj_llm_requests_total",
    "cj_llm_batches_started_total",
    "cj_workflow_decisions_total",
    "cj_bt_se_inflated_batches_total",
    "cj_bt_sparse_coverage_batches_total",
    "cj_admin_instruction_operations_total",
    "cj_assessment_operations_total",
    "huleedu_cj_comparisons_made",
    "cj_batch_state",
    "cj_batch_progress_percentage",
    "cj_batch_processing_duration_seconds",
    "cj_iterations_per_batch",
    "cj_score_stability_changes",
    "cj_orphan_callbacks_total",
    "cj_assessment_service_database_connections_active",
    "cj_assessment_service_database_connections_idle",
    "cj_assessment_service_database_transaction_duration_seconds",
    "cj_assessment_service_database_errors_total",
}
OURS = {
    "cj_essay_fetch_failures_total",
    "cj_uncounted_callbacks_total",
    "cj_quarantined_messages_total",
    "cj_messages_gone_total",
    "cj_llm_waves_started_total",
}


def written(exposition: str) -> set[str]:
    """Names of the series that hold something but zeros."""
    found = set()
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.value and not sample.name.endswith(("_bucket", "_sum")):
                found.add(sample.name.removesuffix("_count") if family.type == "histogram" else sample.name)
    return found


async def exposition(service: CjAssessmentService) -> str:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build_app(service)), base_url="http://cj") as client:
        await client.get("/healthz")
        await client.put("/admin/v1/assessment-instructions/x", json={"instructions_text": "Reward ideas."})
        return (await client.get("/metrics")).text


async def everything_happens(w: World, service: CjAssessmentService) -> set[str]:
    """A good batch, a poor one, a stuck one of either kind, a failing LPS, and callbacks unwanted or never seen."""
    prompt = {"references": {"student_prompt_text": {"storage_id": "prompt"}}}
    w.texts.missing = {"text-04"}
    await w.ask(request(5, student_prompt_ref=prompt), request(3, number=2, student_prompt_ref={"references": {}}))
    await w.next_event(CJ_COMPLETED_TOPIC, 1)
    document = await w.next_event(COMPARISON_RESULT_TOPIC)
    await w.bus.publish(COMPARISON_RESULT_TOPIC, json.dumps(document).encode())
    document["data"]["correlation_id"] = str(keyed_uuid("nobody"))
    await w.bus.publish(COMPARISON_RESULT_TOPIC, json.dumps(document).encode())
    # One comparison of 10 essays: sparse. Two failures, of which one is made good.
    await w.ask(request(10, number=3, metadata={"max_comparisons": 1}))
    await w.next_event(CJ_COMPLETED_TOPIC, 2)
    refused: list[str] = []

    def twice(correlation_id: str) -> httpx.Response | None:
        refused.append(correlation_id)
        return httpx.Response(400) if len(refused) <= 2 else None

    w.lps.answer = twice
    await w.ask(request(4, number=4))
    found: set[str] = set()
    for _ in range(20):
        await asyncio.sleep(0.01)
        found |= written(await exposition(service))
    await w.next_event(CJ_COMPLETED_TOPIC, 3)
    w.lps.answer = lambda _: httpx.Response(400)
    await w.ask(request(4, number=5))
    await asyncio.sleep(0.001)
    for number, answered in ((6, 9), (7, 1)):
        w.lps.posts.clear()
        swallow_after(w, answered)
        await w.ask(request(5, number=number, metadata={"max_comparisons": 10}))
        for _ in range(55):  # four hours and a half, looked at as often as the monitor looks
            await asyncio.sleep(295.0)
            found |= written(await exposition(service))
    assert w.published()[CJ_FAILED_TOPIC] == 2
    assert isinstance(w.bus, ForgetfulBus)
    w.bus.forget(COMPARISON_RESULT_TOPIC, 3)
    with suppress(OperationalError):
        async with w.database.transaction() as transaction:
            await transaction.execute(text("SELECT missing"))
    await asyncio.sleep(1.0)
    return found | written(await exposition(service))


def test_every_series_is_written_by_something_that_happens() -> None:
    async def script() -> tuple[set[str], set[str]]:
        async with (
            world(failed_comparison_retry_threshold=2, bus=ForgetfulBus(), host="127.0.0.1") as w,
            w.service() as service,
        ):
            found = await everything_happens(w, service)
            declared = {
                name + ("_total" if family.type == "counter" else "")
                for family in text_string_to_metric_families(await exposition(service))
                for name in [family.name]
            }
            return found, declared

    found, declared = run_virtual(script())
    assert declared | {"cj_failed_pool_size"} == PRODUCTION | OURS
    assert (PRODUCTION | OURS) - found == set()


def test_a_clean_batch_counts_what_it_did() -> None:
    async def script() -> None:
        async with world() as w, w.service() as service:
            await w.ask(request(5))
            await w.next_event(CJ_COMPLETED_TOPIC)
            exposed = await exposition(service)
            (state,) = await w.rows(batch_states)
            assert state["current_iteration"] == 6
            for line in (
                'cj_comparisons_total{status="completed"} 20.0',
                'cj_llm_requests_total{batching_mode="serial_bundle"} 20.0',
                'cj_llm_batches_started_total{batching_mode="serial_bundle"} 1.0',
                'cj_llm_waves_started_total{batching_mode="serial_bundle"} 6.0',
                'cj_assessment_llm_api_calls_total{model="mock-model",provider="mock",status="queued"} 20.0',
                'cj_callbacks_processed_total{status="success"} 20.0',
                'cj_workflow_decisions_total{decision="REQUEST_MORE_COMPARISONS"} 4.0',
                'cj_workflow_decisions_total{decision="RESAMPLE"} 1.0',
                'cj_batch_state{state="COMPLETED"} 1.0',
                'cj_assessment_operations_total{operation="finalize",status="success"} 1.0',
                "huleedu_cj_comparisons_made_sum 20.0",
                "cj_iterations_per_batch_sum 6.0",
            ):
                assert line in exposed
            assert 'cj_comparisons_total{status="failed"}' not in exposed
            assert "_created" not in exposed

    run_virtual(script())


def test_a_metric_of_a_transaction_that_did_not_hold_is_not_counted() -> None:
    async def script() -> None:
        async with world() as w:
            counted: list[str] = []
            try:
                async with w.database.transaction() as transaction:
                    transaction.after_commit(lambda: counted.append("x"))
                    raise LookupError
            except LookupError:
                pass
            assert counted == []
            async with w.database.transaction() as transaction:
                transaction.after_commit(lambda: counted.append("y"))
                assert counted == []
            assert counted == ["y"]

    run_virtual(script())


# By hand: dashboards compute quantiles from these, and a sum over two services needs the same ones.
THEIRS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]


def test_histograms_have_productions_buckets() -> None:
    async def script() -> dict[str, list[float]]:
        async with world() as w, w.service() as service:
            await w.ask(request(3))
            await w.next_event(CJ_COMPLETED_TOPIC)
            await exposition(service)
            found: dict[str, list[float]] = {}
            for family in text_string_to_metric_families(await exposition(service)):
                for sample in family.samples:
                    if sample.name.endswith("_bucket"):
                        found.setdefault(family.name, []).append(float(sample.labels["le"]))
            return found

    found = run_virtual(script())
    for name in ("cj_assessment_http_request_duration_seconds", "kafka_message_queue_latency_seconds"):
        assert set(THEIRS) <= set(found[name])
    assert sorted(set(found["cj_assessment_http_request_duration_seconds"])) == [*THEIRS, float("inf")]
    assert {0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300} <= set(found["kafka_message_queue_latency_seconds"])
