"""What accounting is told: starts, completions, failures."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.metrics import LpsMetrics
from cj_pipeline.services.lps.work.usage_events import MOST_WAITING, UsageEvents
from tests.services.lps.flaky import FlakyBus
from tests.services.lps.lab import ORIGIN, TOPIC, correlation_id, in_lab, lab, mode, queued
from tests.services.lps.moody import SLOW, Moody, first_attempts_of, late, served_by

TOPICS = {
    "started": "huleedu.llm_provider.request_started.v1",
    "completed": "huleedu.llm_provider.request_completed.v1",
    "failure": "huleedu.llm_provider.failure.v1",
}


class Recording(MemoryBus):
    """Remembers the order of everything that was published."""

    def __init__(self):
        super().__init__()
        self.log = []

    async def publish(self, topic, value, *, key=None):
        self.log.append((topic, json.loads(value), key))
        await super().publish(topic, value, key=key)

    def events(self, kind):
        return [event for topic, event, _ in self.log if topic == TOPICS[kind]]


def recorded(script, of=None, **settings):
    bus = Recording()
    in_lab(script, of, bus=bus, **settings)
    return bus


async def ask_three(lab):
    served_by(lab, Moody(first_attempts_of(1, ProviderError(ErrorCode.PARSING_ERROR, "No winner."))))
    for number in range(3):
        await lab.post(number, metadata={"bos_batch_id": "bos-1", "essay_a_id": "Zwetschgendatschi"})
    for _ in range(3):
        await lab.next_result()
    await asyncio.sleep(1.0)


def test_every_request_is_started_and_then_completed_or_failed():
    bus = recorded(ask_three)
    kinds = {topic: kind for kind, topic in TOPICS.items()}
    told = [(kinds[topic], event["correlation_id"]) for topic, event, _ in bus.log if topic in kinds]
    ids = [str(correlation_id(number)) for number in range(3)]
    assert told == [
        ("started", ids[0]),
        ("completed", ids[0]),
        ("started", ids[1]),
        ("failure", ids[1]),
        ("started", ids[2]),
        ("completed", ids[2]),
    ]
    assert {key for topic, _, key in bus.log if topic in kinds} == {b"bos-1"}


def test_the_envelope_and_its_data():
    bus = recorded(ask_three)
    event = bus.events("completed")[0]
    queue_id = event["data"].pop("request_id")
    assert event.pop("event_id")
    trace = queue_id.replace("-", "")
    assert event == {
        "event_type": "llm_provider.request_completed.v1",
        "event_timestamp": "2025-12-01T14:24:17Z",
        "source_service": "llm_provider_service",
        "schema_version": 1,
        "correlation_id": str(correlation_id(0)),
        "data_schema_uri": None,
        "metadata": {"traceparent": f"00-{trace}-{trace[16:]}-01"},
        "data": {
            "correlation_id": str(correlation_id(0)),
            "provider": "mock",
            "answered_by": "mock",
            "model": None,
            "request_type": "comparison",
            "attempt": 0,
            "success": True,
            "response_time_ms": 1000,
            # 6 words of prompt, ceil(4.5); the justification's 8 to 12 words and 10 extra.
            "token_usage": {"prompt_tokens": 5, **completion(event)},
            "cost_estimate": 0.0,
        },
    }
    failure = bus.events("failure")[0]
    assert failure["event_type"] == "llm_provider.failure.v1"
    assert (failure["data"]["error_code"], failure["data"]["retryable"]) == ("PARSING_ERROR", False)
    assert bus.events("started")[0]["event_type"] == "llm_provider.request_started.v1"


def completion(event):
    """The part of the usage that hangs on which justification was drawn, within its range."""
    tokens = event["data"]["token_usage"]["completion_tokens"]
    assert 16 <= tokens <= 19
    return {"completion_tokens": tokens, "total_tokens": 5 + tokens}


def test_nothing_of_an_essay_is_told():
    for _, event, _ in (entry for entry in recorded(ask_three).log if entry[0] != TOPIC):
        assert "Zwetschgendatschi" not in json.dumps(event)
        assert "Which essay" not in json.dumps(event)


def test_each_attempt_is_started_under_its_own_id_and_the_end_is_told_once():
    async def script(lab):
        served_by(lab, Moody(first_attempts_of(0, late(), attempts=2)))
        await lab.post(0)
        await lab.next_result()
        await asyncio.sleep(1.0)

    bus = recorded(script)
    assert [event["data"]["attempt"] for event in bus.events("started")] == [0, 1, 2]
    assert len({event["event_id"] for event in bus.events("started")}) == 3
    assert [event["data"]["attempt"] for event in bus.events("completed")] == [2]
    assert bus.events("failure") == []


def test_an_expired_request_is_a_failure_that_never_started():
    async def script(lab):
        await lab.post(0)
        await asyncio.sleep(0.1)
        await lab.post(1)
        for _ in range(2):
            await lab.next_result()
        await asyncio.sleep(1.0)

    slow = mode(latency={"model": "constant", "ms": 10_000})
    bus = recorded(script, slow, queue_request_ttl_hours=0.001)
    assert [event["correlation_id"] for event in bus.events("started")] == [str(correlation_id(0))]
    assert [event["data"]["error_code"] for event in bus.events("failure")] == ["TIMEOUT"]


def test_the_setting_turns_them_off_and_callbacks_stay():
    bus = recorded(ask_three, publish_llm_usage_events=False)
    assert {topic for topic, _, _ in bus.log} == {TOPIC}


def test_what_the_bus_refuses_is_counted_and_dropped_and_callbacks_are_not_held_up(caplog):
    bus = FlakyBus(lambda message: message.topic != TOPIC)

    async def script(lab):
        await lab.post(0)
        assert (await lab.next_result()).succeeded
        await asyncio.sleep(100.0)
        return (await lab.client.get("/metrics")).text

    with caplog.at_level(logging.CRITICAL, logger="cj_pipeline.services.lps"):
        text = in_lab(script, mode(**SLOW), bus=bus)
    assert "llm_provider_usage_events_dropped_total 2.0" in text
    assert len(bus.refused) == 2


class Stuck(MemoryBus):
    """Never confirms a usage event."""

    async def publish_all(self, messages):
        if any(message.topic != TOPIC for message in messages):
            await asyncio.Event().wait()
        return await super().publish_all(messages)


def test_the_line_is_bounded_and_the_oldest_go_first(caplog):
    async def main():
        metrics = LpsMetrics(QueueProcessingMode.PER_REQUEST)
        bus = Recording()
        events = UsageEvents(bus, LoopClock(ORIGIN), metrics)
        first, others = queued(0), queued(1)
        for _ in range(3):
            events.started(first)
        for _ in range(MOST_WAITING):
            events.started(others)
        dropped = metrics.registry.get_sample_value("llm_provider_usage_events_dropped_total")
        await events.flush()
        told = bus.events("started")
        return dropped, len(told), {event["correlation_id"] for event in told}

    with caplog.at_level(logging.CRITICAL, logger="cj_pipeline.services.lps"):
        assert run_virtual(main()) == (3, MOST_WAITING, {str(correlation_id(1))})


def test_a_bus_that_hangs_on_them_holds_no_answer_up():
    async def main():
        async with lab(mode(**SLOW), bus=Stuck()) as the_lab:
            for number in range(3):
                await the_lab.post(number)
            return [(await the_lab.next_result()).succeeded for _ in range(3)]

    assert run_virtual(main()) == [True, True, True]


@pytest.mark.parametrize("kind", TOPICS)
def test_no_two_events_share_an_id(kind):
    bus = recorded(ask_three)
    ids = [event["event_id"] for events in map(bus.events, TOPICS) for event in events]
    assert len(set(ids)) == len(ids) == 6
    assert bus.events(kind)
