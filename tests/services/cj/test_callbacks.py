"""Callbacks that are not the first answer to a question: each is counted under its own name and kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.service import CjAssessmentService
from cj_pipeline.services.cj.store.tables import (
    batch_states,
    batch_uploads,
    comparison_pairs,
    quarantined_messages,
    topic_positions,
)
from cj_pipeline.services.cj.topics import callback_handler as callbacks_topic
from tests.services.cj.lab import OUTPUTS, World, request, world

Change = Callable[[dict[str, Any]], None]


async def first_callback(w: World) -> dict[str, Any]:
    return await w.next_event(COMPARISON_RESULT_TOPIC)


async def send(w: World, document: Any) -> None:
    value = document if isinstance(document, bytes) else json.dumps(document).encode()
    await w.bus.publish(COMPARISON_RESULT_TOPIC, value)


async def kept(w: World) -> list[tuple[str, int]]:
    rows = await w.rows(quarantined_messages)
    return [(row["reason"].partition(":")[0], row["message_offset"]) for row in rows]


def counted(service: CjAssessmentService, sample: str) -> float:
    lines = service.metrics.exposition({}).decode().splitlines()
    found = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(sample)]
    return sum(found)


def test_a_repeated_callback_counts_once() -> None:
    async def script() -> None:
        async with world() as w:
            await w.ask(request(5))
            async with w.service() as service:
                document = await first_callback(w)
                for _ in range(3):
                    await send(w, document)
                await w.next_event(CJ_COMPLETED_TOPIC)
                assert counted(service, 'cj_uncounted_callbacks_total{kind="duplicate"}') == 3
                assert counted(service, "cj_comparisons_total") == 20
            (state,) = await w.rows(batch_states)
            assert (state["submitted_comparisons"], state["completed_comparisons"]) == (20, 20)
            assert [reason for reason, _ in await kept(w)] == ["duplicate"] * 3

    run_virtual(script())


def test_a_callback_after_the_end_changes_nothing() -> None:
    async def script() -> None:
        async with world() as w:
            await w.ask(request(3))
            async with w.service() as service:
                await w.next_event(CJ_COMPLETED_TOPIC)
                before = await w.rows(batch_states), await w.rows(batch_uploads), await w.rows(comparison_pairs)
                await asyncio.sleep(60.0)
                await send(w, await first_callback(w))
                await asyncio.sleep(1.0)
                assert counted(service, 'cj_uncounted_callbacks_total{kind="late"}') == 1
            assert before == (await w.rows(batch_states), await w.rows(batch_uploads), await w.rows(comparison_pairs))
            assert [reason for reason, _ in await kept(w)] == ["late"]
            assert w.published() == dict(zip(OUTPUTS, (1, 1, 0, 1), strict=True))

    run_virtual(script())


def test_an_orphan_is_counted_by_who_sent_it() -> None:
    async def script() -> None:
        async with world() as w:
            await w.ask(request(3))
            async with w.service() as service:
                await w.next_event(CJ_COMPLETED_TOPIC)
                document = await first_callback(w)
                document["data"]["correlation_id"] = str(keyed_uuid("nobody", "asked"))
                await send(w, document)
                await send(w, {**document, "source_service": "somebody_else"})
                await asyncio.sleep(1.0)
                assert counted(service, 'cj_orphan_callbacks_total{source_service="llm_provider_service"}') == 1
                assert counted(service, 'cj_orphan_callbacks_total{source_service="somebody_else"}') == 1
            assert [reason for reason, _ in await kept(w)] == ["orphan", "orphan"]

    run_virtual(script())


def test_strangers_cannot_make_more_than_twenty_series() -> None:
    async def script() -> None:
        async with world() as w, w.service() as service:
            await w.ask(request(3))
            await w.next_event(CJ_COMPLETED_TOPIC)
            document = await first_callback(w)
            document["data"]["correlation_id"] = str(keyed_uuid("nobody", "asked"))
            for number in range(30):
                await send(w, {**document, "source_service": f"stranger-{number}"})
            await asyncio.sleep(1.0)
            assert counted(service, 'cj_orphan_callbacks_total{source_service="other"}') == 10
            assert counted(service, "cj_orphan_callbacks_total") == 30

    run_virtual(script())


def without_outcome(document: dict[str, Any]) -> None:
    document["data"]["winner"] = None


def with_another_version(document: dict[str, Any]) -> None:
    document["data"]["confidence"] = 9.0


@pytest.mark.parametrize("change", [without_outcome, with_another_version])
def test_an_unusable_callback_fails_its_comparison_and_is_kept_whole(change: Change) -> None:
    # Asked once, answered by something unusable, and not asked again: the batch of one pair fails.
    async def script() -> None:
        async with world() as w:
            publish_all = w.bus.publish_all

            async def spoiling(messages: Any) -> Any:
                for message in messages:
                    if message.topic == COMPARISON_RESULT_TOPIC:
                        document = json.loads(message.value)
                        change(document)
                        await send(w, document)
                        return [None]
                return await publish_all(messages)

            w.bus.publish_all = spoiling  # type: ignore[method-assign]
            await w.ask(request(2, metadata={"max_comparisons": 1}))
            async with w.service() as service:
                await w.next_event(CJ_FAILED_TOPIC)
                assert counted(service, 'cj_callbacks_processed_total{status="error"}') == 1
            (row,) = await w.rows(comparison_pairs)
            assert (row["winner"], row["error_code"]) == ("error", "INVALID_RESPONSE")
            assert row["error_details"] == {"reason": "MALFORMED_CALLBACK_MISSING_ERROR_DETAIL"}
            (message,) = await w.rows(quarantined_messages)
            assert message["message"] == (await w.bus.message(COMPARISON_RESULT_TOPIC, 0)).value

    run_virtual(script())


@pytest.mark.parametrize("value", [b"", b"null", b"not json", b'{"data": {"correlation_id": 7}}', b"[" * 5000, b"\xff"])
def test_noise_on_the_topic_holds_nothing_up(value: bytes) -> None:
    async def script() -> None:
        async with world() as w:
            await w.bus.publish(COMPARISON_RESULT_TOPIC, value)
            await w.bus.publish(ASSESSMENT_REQUEST_TOPIC, value)
            await w.ask(request(3))
            async with w.service():
                await w.next_event(CJ_COMPLETED_TOPIC)
            rows = await w.rows(quarantined_messages)
            assert sorted(row["topic"] for row in rows) == sorted([COMPARISON_RESULT_TOPIC, ASSESSMENT_REQUEST_TOPIC])
            assert {row["message"] for row in rows} == {value}

    run_virtual(script())


def test_what_is_said_of_a_bad_message_quotes_nothing_of_it() -> None:
    async def script() -> None:
        async with world() as w:
            document = json.loads(request(3))
            document["data"]["essays_for_cj"][0]["essay_id"] = {"secret-words": "Once upon a time"}
            await w.ask(json.dumps(document).encode())
            async with w.service():
                await asyncio.sleep(1.0)
            (row,) = await w.rows(quarantined_messages)
            assert "Once" not in row["reason"] + row["field"]
            assert row["field"].startswith("data.essays_for_cj.0.essay_id")

    run_virtual(script())


def test_a_callback_that_no_attempt_can_handle_is_kept_and_its_comparison_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = callbacks_topic._columns
    broken: list[str] = []

    def breaks_for_one(result: Any) -> Any:
        if not broken or str(result.correlation_id) in broken:
            broken.append(str(result.correlation_id))
            raise LookupError("Once upon a time")
        return columns(result)

    monkeypatch.setattr(callbacks_topic, "_columns", breaks_for_one)

    async def script() -> None:
        async with world() as w:
            await w.ask(request(5))
            async with w.service():
                await w.next_event(CJ_COMPLETED_TOPIC)
            assert len(broken) == 3  # attempts
            (row,) = await w.rows(quarantined_messages)
            assert row["reason"] == "handler_error: LookupError"
            failed = [pair for pair in await w.rows(comparison_pairs) if pair["winner"] == "error"]
            assert [pair["request_correlation_id"] for pair in failed] == broken[:1]

    run_virtual(script())


def test_the_position_is_behind_everything_that_was_read() -> None:
    async def script() -> None:
        async with world() as w:
            await w.ask(request(3), b"noise")
            async with w.service():
                await w.next_event(CJ_COMPLETED_TOPIC)
                await asyncio.sleep(1.0)
            positions = {row["topic"]: row["next_offset"] for row in await w.rows(topic_positions)}
            assert positions == {
                ASSESSMENT_REQUEST_TOPIC: 2,
                COMPARISON_RESULT_TOPIC: len(w.events(COMPARISON_RESULT_TOPIC)),
            }

    run_virtual(script())
