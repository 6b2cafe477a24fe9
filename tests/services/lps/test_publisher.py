"""From the outbox to the bus: every callback gets there, whatever the bus refuses meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
from itertools import pairwise

import pytest

from tests.services.lps.flaky import FlakyBus
from tests.services.lps.lab import TOPIC, body, correlation_id, in_lab, mode
from tests.services.lps.moody import SLOW

ELSEWHERE = "test.elsewhere.v1"


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL, logger="cj_pipeline.services.lps")


async def post_to(lab, number, topic):
    return await lab.client.post("/api/v1/comparison", json=body(number) | {"callback_topic": topic})


async def failures(lab):
    text = (await lab.client.get("/metrics")).text
    return float(text.partition("\nllm_provider_callback_publish_failures_total ")[2].partition("\n")[0])


def test_a_bus_that_is_down_for_a_while_gets_every_callback_once_in_order():
    bus = FlakyBus(lambda _: True)

    async def script(lab):
        for number in range(5):
            await lab.post(number)
        await asyncio.sleep(100.0)
        assert lab.service.running
        assert lab.service.publisher.failing_topics == (TOPIC,)
        # Answered, and still counted as in the queue: their callbacks wait.
        assert ((await lab.service.depth()).queued, (await lab.service.depth()).total) == (0, 5)
        bus.refuses = lambda _: False
        told = [await lab.next_result() for _ in range(5)]
        assert [result.correlation_id for result in told] == [correlation_id(number) for number in range(5)]
        assert await lab.no_more_callbacks()
        assert (await lab.service.depth()).total == 0
        assert lab.service.publisher.failing_topics == ()
        assert await failures(lab) == len(bus.refused) > 5
        # What comes later goes straight through.
        await lab.post(5)
        assert (await lab.next_result()).correlation_id == correlation_id(5)

    in_lab(script, bus=bus, publish_llm_usage_events=False)


def test_attempts_are_at_most_half_a_minute_apart_and_begin_at_half_a_second():
    tried = []
    bus = FlakyBus()

    async def script(lab):
        bus.refuses = lambda _: tried.append(asyncio.get_running_loop().time()) or True
        await lab.post(0)
        await asyncio.sleep(200.0)
        return [later - earlier for earlier, later in pairwise(tried)]

    waits = in_lab(script, bus=bus, publish_llm_usage_events=False)
    assert waits[:9] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_one_topic_that_is_refused_for_ever_holds_no_other_back():
    bus = FlakyBus(lambda message: message.topic == ELSEWHERE)

    async def script(lab):
        for number in range(6):
            await post_to(lab, number, TOPIC if number % 2 else ELSEWHERE)
        told = [await lab.next_result() for _ in range(3)]
        assert [result.correlation_id for result in told] == [correlation_id(number) for number in (1, 3, 5)]
        assert {result.completed_at for result in told} == {told[0].requested_at}  # at once
        assert lab.service.publisher.failing_topics == (ELSEWHERE,)
        assert (await lab.service.depth()).total == 3
        assert await lab.no_more_callbacks()

    in_lab(script, bus=bus, publish_llm_usage_events=False)


def test_what_joins_a_refused_topic_comes_behind_what_was_there():
    bus = FlakyBus(lambda _: True)

    async def script(lab):
        await lab.post(0)
        await asyncio.sleep(10.0)
        await lab.post(1)
        bus.refuses = lambda _: False
        return [(await lab.next_result()).correlation_id for _ in range(2)]

    assert in_lab(script, bus=bus) == [correlation_id(0), correlation_id(1)]


def test_a_message_that_the_bus_refuses_by_itself_is_tried_again_and_its_neighbours_are_not():
    queue_ids = {}
    bus = FlakyBus()

    async def script(lab):
        for number in range(3):
            queue_ids[number] = (await lab.post(number)).json()["queue_id"].encode()
        bus.refuses = lambda message: queue_ids[1] in message.value and not bus.refused
        told = [await lab.next_result() for _ in range(3)]
        assert await lab.no_more_callbacks()
        return [result.correlation_id for result in told]

    of = mode(**SLOW)
    told = in_lab(script, of, bus=bus, queue_processing_mode="serial_bundle", publish_llm_usage_events=False)
    assert told == [correlation_id(0), correlation_id(2), correlation_id(1)]


def test_a_callback_that_is_published_again_is_the_same_to_the_byte():
    # The bus takes the message and its confirmation is lost: it comes again, and consumers know it by its event id.
    bus = FlakyBus(lambda message: message.topic == TOPIC and not bus.refused, unconfirmed=True)

    async def script(lab):
        await lab.post(0)
        first, second = await lab.next_bytes(), await lab.next_bytes()
        assert first == second
        assert json.loads(first)["event_id"] == json.loads(second)["event_id"]
        assert await lab.no_more_callbacks()
        assert (await lab.client.get(f"/api/v1/results/{json.loads(first)['data']['request_id']}")).content == first

    in_lab(script, bus=bus)


def test_callbacks_of_one_batch_share_their_key():
    async def script(lab):
        for number in range(4):
            await lab.post(number, metadata={"bos_batch_id": f"bos-{number % 2}"})
        return [(await lab.callbacks.next()).key for _ in range(4)]

    assert in_lab(script) == [b"bos-0", b"bos-1", b"bos-0", b"bos-1"]


def test_a_result_can_be_asked_for_while_the_bus_is_down():
    bus = FlakyBus(lambda _: True)

    async def script(lab):
        queue_id = (await lab.post(0)).json()["queue_id"]
        await asyncio.sleep(1.0)
        status = (await lab.client.get(f"/api/v1/status/{queue_id}")).json()
        assert (status["status"], status["callback_published"]) == ("completed", False)
        kept = (await lab.client.get(f"/api/v1/results/{queue_id}")).content
        bus.refuses = lambda _: False
        assert await lab.next_bytes() == kept

    in_lab(script, bus=bus)
