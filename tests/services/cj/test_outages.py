"""What a batch does when the services it needs are away."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from cj_pipeline.contracts.cj_events import ASSESSMENT_RESULT_TOPIC, CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC
from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.batch.lps_client import LONGEST_RETRY_AFTER_S, LpsClient
from cj_pipeline.services.cj.intake.content import ContentReason, HttpContent, NoContent
from cj_pipeline.services.cj.store.tables import batch_states, batch_uploads, comparison_pairs, event_outbox
from tests.services.cj.lab import request, settings, world


def test_an_essay_without_a_text_is_left_out_and_told_of() -> None:
    async def script() -> None:
        async with world() as w:
            w.texts.missing = {"text-01", "text-03"}
            await w.ask(request(5))
            async with w.service() as service:
                thin = await w.next_event(CJ_COMPLETED_TOPIC)
                exposition = service.metrics.exposition({}).decode()
            summary = thin["data"]["processing_summary"]
            assert (summary["total_essays"], summary["successful"], summary["failed"]) == (5, 3, 2)
            assert summary["failed_essay_ids"] == ["essay-01", "essay-03"]
            (upload,) = await w.rows(batch_uploads)
            assert upload["expected_essay_count"] == 3
            counted = 'cj_essay_fetch_failures_total{kind="student",reason="content_service_error"} 2.0'
            assert counted in exposition

    run_virtual(script())


def test_without_the_content_service_a_batch_fails_and_the_next_one_works_when_it_is_back() -> None:
    async def script() -> None:
        async with world() as w:
            w.texts.down = True
            await w.ask(request(5))
            async with w.service():
                failed = await w.next_event(CJ_FAILED_TOPIC)
                w.texts.down = False
                await w.ask(request(5, number=2))
                await w.next_event(CJ_COMPLETED_TOPIC)
            assert failed["data"]["system_metadata"]["error_info"]["reason"] == "no_student_text"

    run_virtual(script())


def test_an_lps_that_is_away_for_a_moment_costs_no_comparison() -> None:
    async def script() -> None:
        async with world() as w:
            w.lps.shut = True
            await w.ask(request(5))
            async with w.service():
                await asyncio.sleep(2.5)  # attempts at 0, 1 and 3 s
                assert not w.lps.posts
                w.lps.shut = False
                await w.next_event(CJ_COMPLETED_TOPIC)
            (state,) = await w.rows(batch_states)
            assert (state["completed_comparisons"], state["failed_comparisons"]) == (20, 0)

    run_virtual(script())


def test_what_a_longer_absence_cost_is_asked_again() -> None:
    async def script() -> None:
        async with world(failed_comparison_retry_threshold=2) as w:
            w.lps.shut = True
            await w.ask(request(5))
            async with w.service():
                await asyncio.sleep(5.0)  # the first wave of two is given up at 3 s, and its retry is under way
                w.lps.shut = False
                await w.next_event(CJ_COMPLETED_TOPIC)
            (state,) = await w.rows(batch_states)
            assert state["failed_comparisons"] == 2
            assert state["processing_metadata"]["pool_statistics"]["successful_retries"] == 2
            failed = [row for row in await w.rows(comparison_pairs) if row["winner"] == "error"]
            assert {(row["error_code"], row["error_service"]) for row in failed} == {
                ("CONNECTION_ERROR", LPS_SOURCE_SERVICE)
            }

    run_virtual(script())


def test_an_lps_that_never_comes_back_fails_the_batch_within_minutes() -> None:
    async def script() -> None:
        async with world() as w:
            w.lps.shut = True
            await w.ask(request(5))
            async with w.service():
                failed = await w.next_event(CJ_FAILED_TOPIC, patience_s=600.0)
            assert failed["data"]["system_metadata"]["error_info"]["reason"] == "low_success_rate"
            rows = await w.rows(comparison_pairs)
            assert {row["winner"] for row in rows} == {"error"}  # none is left open

    run_virtual(script())


def test_an_lps_that_refuses_a_request_is_not_asked_twice_for_it() -> None:
    async def script() -> None:
        async with world(max_retry_attempts=0, enable_failed_comparison_retry=False) as w:
            w.lps.answer = lambda _: httpx.Response(400, json={"error": "Invalid request format"})
            await w.ask(request(2, metadata={"max_comparisons": 1}))
            async with w.service() as service:
                await w.next_event(CJ_FAILED_TOPIC)
                exposition = service.metrics.exposition({}).decode()
            assert set(w.lps.posts.values()) == {1}
            (row,) = await w.rows(comparison_pairs)
            assert row["error_code"] == "VALIDATION_ERROR"
            counted = 'cj_assessment_llm_api_calls_total{model="mock-model",provider="mock",status="error"} 1.0'
            assert counted in exposition

    run_virtual(script())


def test_events_wait_for_a_bus_that_does_not_take_them_and_leave_in_order() -> None:
    async def script() -> None:
        async with world() as w:
            publish_all = w.bus.publish_all
            refused = 7

            async def moody(messages: Any) -> Any:
                nonlocal refused
                if messages[0].topic == ASSESSMENT_RESULT_TOPIC and refused:
                    refused -= 1
                    return [OSError("no space")]
                return await publish_all(messages)

            w.bus.publish_all = moody  # type: ignore[method-assign]
            await w.ask(request(3))
            async with w.service():
                await w.next_event(CJ_COMPLETED_TOPIC)
                assert w.events(ASSESSMENT_RESULT_TOPIC)
            assert w.clock.monotonic() >= 35.0  # 7 times 5 s
            rows = await w.rows(event_outbox)
            assert [row["retry_count"] for row in rows] == [7, 0, 0]
            assert rows[0]["last_error"] == "OSError"

    run_virtual(script())


def test_an_event_that_the_bus_is_slow_to_confirm_is_handed_over_once_and_holds_up_no_database() -> None:
    async def script() -> None:
        async with world() as w:
            publish_all = w.bus.publish_all
            handed: list[str] = []

            async def slow(messages: Any) -> Any:
                if messages[0].topic == ASSESSMENT_RESULT_TOPIC:
                    handed.append(messages[0].topic)
                    await asyncio.sleep(20.0)
                return await publish_all(messages)

            w.bus.publish_all = slow  # type: ignore[method-assign]
            await w.ask(request(3))
            async with w.service() as service:
                while not handed:
                    await asyncio.sleep(0.1)
                for _ in range(20):
                    began = w.clock.monotonic()
                    await service.batches_by_state()
                    assert w.clock.monotonic() - began <= 2.0
                    await asyncio.sleep(0.5)
                await w.next_event(CJ_COMPLETED_TOPIC)
            assert handed == [ASSESSMENT_RESULT_TOPIC]
            assert len(w.events(ASSESSMENT_RESULT_TOPIC)) == 1
            (first, *_) = await w.rows(event_outbox)
            assert (first["retry_count"], first["last_error"]) == (3, "TimeoutError")

    run_virtual(script())


def asked() -> ComparisonRequest:
    return ComparisonRequest(user_prompt="p", callback_topic="t")


def posted(answers: list[httpx.Response | Exception]) -> tuple[ErrorCode | None, int, float]:
    """What comes of a post that is answered like this: refusal, posts, seconds."""

    async def script() -> tuple[ErrorCode | None, int, float]:
        left = list(answers)

        def answer(_: httpx.Request) -> httpx.Response:
            now = left.pop(0)
            if isinstance(now, Exception):
                raise now
            return now

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            refused = await LpsClient(client, settings()).submit(asked())
        code = None if refused is None else refused.error_code
        return code, len(answers) - len(left), asyncio.get_running_loop().time()

    return run_virtual(script())


QUEUED = {"queue_id": "6b1e1d9c-7a1a-4a0e-9d0c-0a6f3b0f1a11", "status": "queued", "message": "m"}


@pytest.mark.parametrize(
    ("answers", "end"),
    [
        ([httpx.Response(202, json=QUEUED)], (None, 1, 0.0)),
        # 200 would be a verdict in the body, which no service sends.
        ([httpx.Response(200, json=QUEUED)], (ErrorCode.EXTERNAL_SERVICE_ERROR, 1, 0.0)),
        ([httpx.Response(202, json={"status": "queued"})], (ErrorCode.EXTERNAL_SERVICE_ERROR, 1, 0.0)),
        ([httpx.Response(503), httpx.Response(500), httpx.Response(202, json=QUEUED)], (None, 3, 3.0)),
        ([httpx.Response(503), httpx.Response(503), httpx.Response(503)], (ErrorCode.SERVICE_UNAVAILABLE, 3, 3.0)),
        ([httpx.Response(429, headers={"Retry-After": "40"}), httpx.Response(202, json=QUEUED)], (None, 2, 40.0)),
        (
            [httpx.Response(429, headers={"Retry-After": f"{LONGEST_RETRY_AFTER_S + 1:.0f}"})],
            (ErrorCode.RATE_LIMIT, 1, 0.0),
        ),
        ([httpx.ReadTimeout("slow"), httpx.Response(202, json=QUEUED)], (None, 2, 1.0)),
        ([httpx.Response(409)], (ErrorCode.VALIDATION_ERROR, 1, 0.0)),
        (
            [httpx.Response(409, json={"error": {"is_retryable": True}}), httpx.Response(202, json=QUEUED)],
            (None, 2, 1.0),
        ),
        ([httpx.Response(401)], (ErrorCode.AUTHENTICATION_ERROR, 1, 0.0)),
    ],
)
def test_only_202_is_acceptance_and_what_may_pass_is_tried_again(
    answers: list[httpx.Response | Exception], end: tuple[ErrorCode | None, int, float]
) -> None:
    assert posted(answers) == end


def content(answers: list[httpx.Response | Exception]) -> tuple[str, float]:
    """What comes of fetching a text: the text or the reason, and seconds."""

    async def script() -> tuple[str, float]:
        left = list(answers)

        def answer(asked: httpx.Request) -> httpx.Response:
            assert str(asked.url) == "http://content/v1/content/text-1"
            now = left.pop(0)
            if isinstance(now, Exception):
                raise now
            return now

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            try:
                text = await HttpContent(client, "http://content/v1/content/", 30.0).fetch("text-1")
            except NoContent as missing:
                text = missing.reason
            return text, asyncio.get_running_loop().time()

    return run_virtual(script())


@pytest.mark.parametrize(
    ("answers", "end"),
    [
        ([httpx.Response(200, text="Words.")], ("Words.", 0.0)),
        ([httpx.Response(503), httpx.ConnectError("x"), httpx.Response(200, text="Words.")], ("Words.", 3.0)),
        ([httpx.Response(404)], (ContentReason.SERVICE_ERROR, 0.0)),
        ([httpx.Response(500)] * 4, (ContentReason.SERVICE_ERROR, 7.0)),
        ([httpx.Response(200, text=" \n")], (ContentReason.EMPTY, 0.0)),
    ],
)
def test_a_text_is_asked_for_four_times_where_that_can_help(
    answers: list[httpx.Response | Exception], end: tuple[str, float]
) -> None:
    assert content(answers) == end
