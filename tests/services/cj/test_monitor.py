"""Batches whose callbacks stop coming."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC
from cj_pipeline.contracts.comparison import QueuedResponse
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.store.tables import batch_states, batch_uploads
from tests.services.cj.lab import OUTPUTS, World, request, world

HOUR_S = 3600.0


def swallow_after(w: World, answered: int) -> None:
    """Let the LPS accept everything, and answer only so many comparisons."""

    def answer(correlation_id: str) -> httpx.Response | None:
        if len(w.lps.posts) <= answered:
            return None
        queued = QueuedResponse(queue_id=keyed_uuid("swallowed", correlation_id), message="queued")
        return httpx.Response(202, content=queued.model_dump_json())

    w.lps.answer = answer


@pytest.mark.parametrize(
    ("answered", "status", "topic"),
    [
        # Of a budget of 10: below 80 % it fails, from there on what is there is scored.
        (7, "ERROR_PROCESSING", CJ_FAILED_TOPIC),
        (8, "COMPLETE_FORCED_RECOVERY", CJ_COMPLETED_TOPIC),
        (9, "COMPLETE_FORCED_RECOVERY", CJ_COMPLETED_TOPIC),
    ],
)
def test_a_silent_batch_ends_after_four_hours(answered: int, status: str, topic: str) -> None:
    async def script() -> None:
        async with world() as w:
            swallow_after(w, answered)
            await w.ask(request(5, metadata={"max_comparisons": 10}))
            async with w.service() as service:
                await asyncio.sleep(4 * HOUR_S - 1.0)
                assert not any(w.published().values())
                await w.next_event(topic, patience_s=400.0)
                exposition = service.metrics.exposition({}).decode()
            (upload,), (state,) = await w.rows(batch_uploads), await w.rows(batch_states)
            assert upload["status"] == status
            assert state["completed_comparisons"] == answered
            recovered = status == "COMPLETE_FORCED_RECOVERY"
            assert f"cj_stuck_batches_recovered_total {float(recovered)}" in exposition
            assert f"cj_stuck_batches_failed_total {float(not recovered)}" in exposition
            assert "cj_stuck_batches_detected 1.0" in exposition
            told = state["processing_metadata"]
            if recovered:
                assert told["forced_to_scoring"]["progress_pct"] == 10.0 * answered
            else:
                assert told["failed_reason"]["reason"] == "stuck_timeout_insufficient_progress"

    run_virtual(script())


def test_the_success_guard_is_asked_of_a_silent_batch_too() -> None:
    async def script() -> None:
        async with world(lps={"mock_error_rate": 1.0}, enable_failed_comparison_retry=False) as w:
            swallow_after(w, 9)
            await w.ask(request(5, metadata={"max_comparisons": 10}))
            async with w.service():
                failed = await w.next_event(CJ_FAILED_TOPIC)
            assert failed["data"]["system_metadata"]["error_info"]["reason"] == "low_success_rate"

    run_virtual(script())


def test_a_batch_that_still_gets_callbacks_is_left_alone() -> None:
    async def script() -> None:
        async with world(batch_timeout_hours=0.01) as w:
            await w.ask(request(5))
            async with w.service() as service:
                await w.next_event(CJ_COMPLETED_TOPIC)
                assert await service.monitor.look() == 0
            assert w.published() == dict(zip(OUTPUTS, (1, 1, 0, 1), strict=True))

    run_virtual(script())


def test_a_callback_that_comes_after_a_forced_end_is_late() -> None:
    async def script() -> None:
        async with world() as w:
            swallow_after(w, 9)
            await w.ask(request(5, metadata={"max_comparisons": 10}))
            async with w.service() as service:
                await w.next_event(CJ_COMPLETED_TOPIC)
                w.lps.answer = lambda _: None
                (left,) = [key for key, body in w.lps.bodies.items() if list(w.lps.bodies)[-1] == key]
                await w.client.post("http://lps/api/v1/comparison", json=w.lps.bodies[left])
                await asyncio.sleep(60.0)
                assert 'cj_uncounted_callbacks_total{kind="late"} 1.0' in service.metrics.exposition({}).decode()
            assert w.published() == dict(zip(OUTPUTS, (1, 1, 0, 1), strict=True))

    run_virtual(script())
