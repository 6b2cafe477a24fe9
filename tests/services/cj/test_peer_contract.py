"""What the reference's consumers require of each event, written down by hand: our own models cannot agree with it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.bus.protocol import Outgoing
from cj_pipeline.contracts.cj_events import (
    ASSESSMENT_RESULT_TOPIC,
    CJ_COMPLETED_TOPIC,
    CJ_FAILED_TOPIC,
    RESOURCE_CONSUMPTION_TOPIC,
)
from cj_pipeline.runs.virtual_time import run_virtual
from tests.services.cj.lab import World, request, world
from tests.services.cj.test_batches import completed, with_assignment

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def instant(value: object) -> bool:
    return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None


def null(value: object) -> bool:
    return value is None


def number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_(literal: object) -> Any:
    return lambda value: value == literal and type(value) is type(literal)


ABOUT_THE_BATCH = {"entity_id": is_("bos-1"), "entity_type": is_("batch"), "parent_id": null, "timestamp": instant}
SUMMARY = {
    "total_essays": number,
    "successful": number,
    "failed": number,
    "successful_essay_ids": lambda value: isinstance(value, list),
    "failed_essay_ids": lambda value: isinstance(value, list),
    "processing_time_seconds": number,
}

REQUIRED: dict[str, dict[str, Any]] = {
    CJ_COMPLETED_TOPIC: {
        **ABOUT_THE_BATCH,
        "event_name": is_("cj_assessment.completed"),
        "status": is_("completed_successfully"),
        "system_metadata": {
            **ABOUT_THE_BATCH,
            "processing_stage": is_("completed"),
            "started_at": instant,
            "completed_at": instant,
            "event": is_("cj_assessment.completed"),
        },
        "cj_assessment_job_id": text,
        "processing_summary": SUMMARY,
    },
    CJ_FAILED_TOPIC: {
        **ABOUT_THE_BATCH,
        "event_name": is_("cj_assessment.failed"),
        "status": is_("failed_critically"),
        "system_metadata": {
            **ABOUT_THE_BATCH,
            "processing_stage": is_("failed"),
            "event": is_("cj_assessment.failed"),
            "error_info": lambda value: isinstance(value, dict) and text(value["reason"]),
        },
        "cj_assessment_job_id": text,
    },
    ASSESSMENT_RESULT_TOPIC: {
        **ABOUT_THE_BATCH,
        "event_name": is_("assessment.result.published"),
        "batch_id": is_("bos-1"),
        "cj_assessment_job_id": text,
        "model_used": text,
        "model_provider": text,
        "essay_results": lambda value: isinstance(value, list) and len(value) > 0,
        "assessment_metadata": lambda value: isinstance(value, dict),
        "assessed_at": instant,
    },
    RESOURCE_CONSUMPTION_TOPIC: {
        **ABOUT_THE_BATCH,
        "event_name": is_("resource.consumption.reported"),
        "user_id": is_("teacher-1"),
        "org_id": is_("school-1"),
        "resource_type": is_("cj_comparison"),
        "quantity": number,
        "service_name": is_("cj_assessment_service"),
        "processing_id": text,
        "consumed_at": instant,
    },
}
"""Fields of `data` by topic: a test of the value, or fields of its own."""


def broken(data: dict[str, Any], required: dict[str, Any], path: str = "") -> list[str]:
    """The fields that are not there, or are not what a consumer takes."""
    found = []
    for name, wanted in required.items():
        if name not in data:
            found.append(f"{path}{name} is absent")
        elif isinstance(wanted, dict):
            found += broken(data[name], wanted, f"{path}{name}.")
        elif not wanted(data[name]):
            found.append(f"{path}{name} is {data[name]!r}")
    return found


class RememberingBus(MemoryBus):
    """A bus that keeps what was handed to it, with its headers."""

    def __init__(self) -> None:
        super().__init__()
        self.handed: list[Outgoing] = []

    async def publish_all(self, messages: Any) -> list[Exception | None]:
        self.handed += messages
        return await super().publish_all(messages)


async def failed(w: World, *requests: bytes) -> list[dict[str, Any]]:
    """Ask, and give back the failed event of each request."""
    await w.ask(*requests)
    async with w.service():
        return [await w.next_event(CJ_FAILED_TOPIC, number) for number in range(len(requests))]


def test_consumers_can_parse_every_event_of_a_batch() -> None:
    async def run() -> None:
        bus = RememberingBus()
        async with world(bus=bus) as w:
            await with_assignment(w)
            await completed(w, request(assignment_id="assignment-1", metadata={"traceparent": TRACEPARENT, "other": 1}))
            for topic in (CJ_COMPLETED_TOPIC, ASSESSMENT_RESULT_TOPIC, RESOURCE_CONSUMPTION_TOPIC):
                (event,) = w.events(topic)
                assert broken(event["data"], REQUIRED[topic]) == []
                assert event["event_type"] == topic
                assert event["data_schema_uri"] is None
                assert event["metadata"] == {"traceparent": TRACEPARENT}
                (sent,) = [message for message in bus.handed if message.topic == topic]
                assert sent.key == b"bos-1"
                assert dict(sent.headers) == {
                    "event_id": event["event_id"].encode(),
                    "event_type": topic.encode(),
                    "traceparent": TRACEPARENT.encode(),
                }

    run_virtual(run())


def test_consumers_can_parse_a_failed_event() -> None:
    async def run() -> None:
        async with world() as w:
            w.texts.down = True
            (event,) = await failed(w, request())
            assert broken(event["data"], REQUIRED[CJ_FAILED_TOPIC]) == []
            assert event["metadata"] is None

    run_virtual(run())


def spoilt(**changes: Any) -> bytes:
    """A request with other values at the top, or in `data` under a name that begins with `data_`."""
    document = json.loads(request())
    for name, value in changes.items():
        place = document["data"] if name.startswith("data_") else document
        place[name.removeprefix("data_")] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (spoilt(event_timestamp="yesterday"), "event_timestamp"),
        (spoilt(event_id="7"), "event_id"),
        (spoilt(correlation_id=None), "correlation_id"),
        (spoilt(metadata={"batch_config_overrides": {"batch_size": 5}}), "batch_config_overrides.batch_size"),
        (spoilt(data_llm_config_overrides={"reasoning_effort": "xhigh"}), "data.llm_config_overrides.reasoning_effort"),
        (
            spoilt(data_llm_config_overrides={"provider_override": "acme"}),
            "data.llm_config_overrides.provider_override",
        ),
        (
            spoilt(data_llm_config_overrides={"temperature_override": 99}),
            "data.llm_config_overrides.temperature_override",
        ),
        (spoilt(data_user_id="x" * 1000), "data.user_id"),
        (spoilt(data_language="en\x00"), "data.language"),
        (spoilt(data_essays_for_cj=[{"essay_id": " ", "text_storage_id": "t"}]), "data.essays_for_cj.0.essay_id"),
        (
            spoilt(data_essays_for_cj=[{"essay_id": "a", "text_storage_id": "t\r\nX: y"}]),
            "data.essays_for_cj.0.text_storage_id",
        ),
        (spoilt(data_entity_id="bos-1\x00"), "data.entity_id"),
        (spoilt(data_timestamp=float("inf")), "data.timestamp"),
        (spoilt(metadata={"weight": float("nan")}), ""),
    ],
)
def test_whoever_asks_badly_is_told_which_field_is_wrong(
    message: bytes, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with world() as w:
            (event,) = await failed(w, message)
            assert broken(event["data"], REQUIRED[CJ_FAILED_TOPIC]) == []
            assert event["data"]["cj_assessment_job_id"] == "INITIALIZATION_FAILED"
            details = event["data"]["system_metadata"]["error_info"]["details"]
            assert details["field"] == field
            asked = json.loads(message)["correlation_id"]
            assert event["correlation_id"] == asked or asked is None
            (line,) = [line for line in caplog.messages if "no batch can be made" in line]
            assert "bos-1" in line
            assert event["correlation_id"] in line
            assert UUID(event["event_id"])

    run_virtual(run())


@pytest.mark.parametrize(
    "message", [b"{", b"[]", b"null", spoilt(data_entity_id=5), spoilt(data="x"), spoilt(data_entity_id="\x00 ")]
)
def test_a_message_that_names_no_batch_is_kept_and_logged(message: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with world() as w:
            await completed(w, message, request())

    with pytest.raises(TimeoutError):  # one of the two has no event
        run_virtual(run())
    (line,) = [line for line in caplog.messages if "names no batch" in line]
    assert "message 0 of 'huleedu.els.cj_assessment.requested.v1'" in line


@pytest.mark.parametrize(
    "message",
    [
        spoilt(event_timestamp="2025-12-01T08:00:00"),
        spoilt(data_timestamp="2025-12-01T08:00:00"),
        spoilt(metadata={"max_comparisons": "12"}),
        spoilt(metadata={"max_comparisons": "x"}),
        spoilt(metadata={"max_comparisons": -1}),
        spoilt(metadata={"max_comparisons": True}),
        spoilt(data_llm_config_overrides={"provider_override": " MOCK "}),
    ],
)
def test_what_the_reference_takes_makes_a_batch(message: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with world() as w:
            thin = await completed(w, message)
            assert thin["data"]["status"] == "completed_successfully"
            ignored = "max_comparisons" in (json.loads(message)["metadata"] or {})
            said = [line for line in caplog.messages if "'max_comparisons' is no whole number" in line]
            assert len(said) == (1 if ignored else 0)

    run_virtual(run())


def test_a_refused_request_that_comes_twice_fails_once() -> None:
    async def run() -> None:
        async with world() as w:
            bad = spoilt(data_user_id="x" * 1000)
            await w.ask(bad, bad, request(number=2))
            async with w.service():
                await w.next_event(CJ_COMPLETED_TOPIC)
            assert len(w.events(CJ_FAILED_TOPIC)) == 1

    run_virtual(run())


def test_the_log_tells_the_life_of_a_batch_by_its_id(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with world() as w:
            await completed(w, request(5))

    with caplog.at_level("INFO", "cj_pipeline.services.cj"):
        run_virtual(run())
    lines = [line for line in caplog.messages if "batch bos-1 (1)" in line]
    assert "taken in, 5 essays, budget" in lines[0]
    assert sum(": wave " in line for line in lines) == 6
    assert sum(": decision " in line for line in lines) == 6
    assert ": decision FINALIZE_NOTHING_SCHEDULABLE" in lines[-2]
    assert "over, COMPLETE_MAX_COMPARISONS (nothing_schedulable), 20 comparisons judged" in lines[-1]


def test_topics_may_have_other_names_and_events_keep_their_types() -> None:
    renamed = {
        "cj_assessment_request_topic": "team.asked.v1",
        "cj_assessment_completed_topic": "team.completed.v1",
        "cj_assessment_failed_topic": "team.failed.v1",
        "assessment_result_topic": "team.result.v1",
    }

    async def run() -> None:
        async with world(**renamed) as w:
            await w.bus.publish("team.asked.v1", request())
            await w.bus.publish("team.asked.v1", request(0, number=2))
            async with w.service():
                for topic, event_type in (
                    ("team.completed.v1", CJ_COMPLETED_TOPIC),
                    ("team.failed.v1", CJ_FAILED_TOPIC),
                    ("team.result.v1", ASSESSMENT_RESULT_TOPIC),
                ):
                    assert (await w.next_event(topic))["event_type"] == event_type
            published = w.published()
            assert not any(published[topic] for topic in (CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC, ASSESSMENT_RESULT_TOPIC))

    run_virtual(run())
