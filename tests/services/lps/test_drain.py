"""Stopping: nothing more is accepted, and nothing that was accepted goes without its callback."""

from __future__ import annotations

import asyncio
import logging

import pytest

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.errors import ErrorCode
from tests.services.lps.flaky import FlakyBus
from tests.services.lps.lab import correlation_id, in_lab, mode
from tests.services.lps.moody import SLOW, Moody, first_attempts_of, late, served_by

PROCESSING = ["per_request", "serial_bundle", "batch_api"]


def now():
    return asyncio.get_running_loop().time()


def outcome(result):
    return "ok" if result.succeeded else result.error_detail.error_code


async def outcomes(lab, count):
    """Outcome by number of the next callbacks, of which there are no more."""
    numbers = {correlation_id(number): number for number in range(100)}
    told = [await lab.next_result() for _ in range(count)]
    assert await lab.no_more_callbacks()
    assert len({result.correlation_id for result in told}) == count
    return {numbers[result.correlation_id]: outcome(result) for result in told}


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL, logger="cj_pipeline.services.lps")


@pytest.mark.parametrize("processing", PROCESSING)
def test_a_queue_in_memory_is_finished_first(processing):
    async def script(lab):
        for number in range(5):
            await lab.post(number)
        await lab.service.drain(25.0)
        assert now() == pytest.approx(5.0, abs=0.1)
        return await outcomes(lab, 5)

    assert in_lab(script, mode(**SLOW), queue_processing_mode=processing) == dict.fromkeys(range(5), "ok")


def test_nothing_is_accepted_meanwhile_and_the_rest_can_still_be_asked():
    async def script(lab):
        queue_id = (await lab.post(0)).json()["queue_id"]
        draining = asyncio.create_task(lab.service.drain(25.0))
        await asyncio.sleep(0.5)
        refused = await lab.post(1)
        assert (refused.status_code, refused.json()["error"]) == (503, "Service is not running")
        assert (await lab.client.get(f"/api/v1/status/{queue_id}")).json()["status"] == "processing"
        await draining
        return await outcomes(lab, 1)

    assert in_lab(script, mode(**SLOW)) == {0: "ok"}


# 1 s an answer and 2.5 s to drain, of five: what is told of each. A bundle's and a job's third is cut short; their
# first two are answered and paid for, and count.
@pytest.mark.parametrize("processing", PROCESSING)
def test_what_is_not_finished_in_time_is_told_so_and_what_is_finished_counts(processing):
    async def script(lab):
        moody = served_by(lab, Moody())
        for number in range(5):
            await lab.post(number)
        await asyncio.sleep(0)
        await lab.service.drain(2.5)
        assert now() == pytest.approx(2.5, abs=0.1)
        assert len(moody.asked) == 3
        assert (await lab.service.depth()).total == 0
        return await outcomes(lab, 5)

    told = in_lab(script, queue_processing_mode=processing)
    assert told == {0: "ok", 1: "ok"} | dict.fromkeys((2, 3, 4), "SERVICE_UNAVAILABLE")


def test_a_request_that_waits_for_its_next_attempt_is_told_so_without_that_wait():
    async def script(lab):
        served_by(lab, Moody(first_attempts_of(0, late(300.0))))
        await lab.post(0)
        await lab.post(1)
        await lab.service.drain(10.0)
        assert now() == pytest.approx(10.0, abs=0.1)
        return await outcomes(lab, 2)

    assert in_lab(script) == {0: "SERVICE_UNAVAILABLE", 1: "ok"}


def test_a_retry_that_is_due_in_time_is_made():
    async def script(lab):
        served_by(lab, Moody(first_attempts_of(0, late(5.0))))
        await lab.post(0)
        await lab.service.drain(25.0)
        assert now() == pytest.approx(7.0, abs=0.1)
        return await outcomes(lab, 1)

    assert in_lab(script) == {0: "ok"}


def test_a_member_of_a_cut_bundle_that_failed_is_told_of_the_shutdown_or_of_its_own_failure():
    broken = ProviderError(ErrorCode.PARSING_ERROR, "No winner.")

    def failing(asked, _):
        return {correlation_id(0): broken, correlation_id(1): late()}.get(asked)

    async def script(lab):
        served_by(lab, Moody(failing))
        for number in range(4):
            await lab.post(number)
        await lab.service.drain(2.5)
        return await outcomes(lab, 4)

    # The second would be tried again, and there is no time left for that.
    told = in_lab(script, queue_processing_mode="serial_bundle")
    assert told == {0: "PARSING_ERROR", **dict.fromkeys((1, 2, 3), "SERVICE_UNAVAILABLE")}


def test_what_lies_in_the_outbox_still_reaches_a_bus_that_comes_back():
    bus = FlakyBus(lambda _: True)

    async def script(lab):
        await lab.post(0)
        await asyncio.sleep(1.0)
        draining = asyncio.create_task(lab.service.drain(25.0))
        await asyncio.sleep(10.0)
        bus.refuses = lambda _: False
        await draining
        assert now() < 26.0
        return await outcomes(lab, 1)

    assert in_lab(script, bus=bus) == {0: "ok"}


def test_workers_that_take_no_more_finish_what_is_in_hand_and_leave_retries_to_whoever_comes_next():
    # As a durable queue is drained: a failure that a retry can help is no reason to answer with it.
    async def script(lab):
        moody = served_by(lab, Moody(first_attempts_of(1, late())))
        await lab.post(0)
        await asyncio.sleep(0.5)
        for number in (1, 2):
            await lab.post(number)
        await asyncio.sleep(1.0)
        lab.service._workers.take_no_more()
        told = await outcomes(lab, 1)
        depth = await lab.service.depth()
        assert lab.service._workers.idle
        assert moody.asked == [(correlation_id(0), 0), (correlation_id(1), 0)]
        return told, depth.queued, depth.total

    assert in_lab(script) == ({0: "ok"}, 2, 2)


def test_a_bus_that_is_gone_ends_the_drain_all_the_same():
    async def script(lab):
        await lab.post(0)
        await lab.service.drain(25.0)
        return now()

    # 25 s to finish, and 5 s for the last callbacks.
    assert in_lab(script, bus=FlakyBus(lambda _: True)) == pytest.approx(30.0, abs=0.1)


def test_an_idle_service_drains_at_once():
    async def script(lab):
        await lab.service.drain(25.0)
        return now()

    assert in_lab(script) == 0.0


def test_how_long_the_turned_away_waited_is_on_record():
    async def script(lab):
        served_by(lab, Moody(of=mode(latency={"model": "constant", "ms": 60_000})))
        await lab.post(0)
        await asyncio.sleep(1.0)
        await lab.post(1)
        await lab.service.drain(10.0)
        return (await lab.client.get("/metrics")).text

    # The first was being answered from the start; the second waited from 1 s to 11 s.
    text = in_lab(script)
    labels = 'queue_processing_mode="per_request",result="failure"'
    total = float(text.partition(f"llm_provider_queue_wait_time_seconds_sum{{{labels}}} ")[2].partition("\n")[0])
    assert total == pytest.approx(10.0, abs=0.1)
    assert f"llm_provider_queue_wait_time_seconds_count{{{labels}}} 2.0" in text
