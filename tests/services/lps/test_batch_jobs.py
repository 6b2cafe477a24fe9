"""Jobs of batch_api: their life, and when the service starts them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from cj_pipeline.contracts.answer import Failure
from cj_pipeline.contracts.enums import BatchJobStatus, QueueProcessingMode
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.metrics import LpsMetrics
from cj_pipeline.services.lps.work.batch_jobs import BatchJobs
from tests.services.lps.lab import ORIGIN, correlation_id, in_lab, mode, queued
from tests.services.lps.moody import SLOW, Moody, first_attempts_of, late, served_by

NO = Failure(ErrorCode.PARSING_ERROR, "No winner.")


class Desk:
    """Jobs whose every attempt takes a second and fails."""

    def __init__(self, concurrency=1):
        self.metrics = LpsMetrics(QueueProcessingMode.BATCH_API)
        self.jobs = BatchJobs(self.attempt, LoopClock(ORIGIN), self.metrics, concurrency)
        self.begun = []

    async def attempt(self, request):
        self.begun.append(request)
        await asyncio.sleep(1.0)
        return NO

    def counted(self, status):
        labels = {"provider": "mock", "model": "default", "status": status}
        return self.metrics.registry.get_sample_value("llm_provider_batch_api_jobs_total", labels)


def at_a_desk(script, **kwargs):
    async def main():
        return await script(Desk(**kwargs))

    return run_virtual(main())


THREE = [queued(number) for number in range(3)]


def test_a_job_is_scheduled_then_runs_is_completed_and_forgotten_once_collected():
    async def script(desk):
        job = desk.jobs.schedule(THREE)
        assert desk.jobs.status(job.job_id) is BatchJobStatus.SCHEDULED
        collecting = asyncio.create_task(desk.jobs.collect(job.job_id))
        await asyncio.sleep(0.5)
        assert desk.jobs.status(job.job_id) is BatchJobStatus.RUNNING
        assert await collecting == {request.queue_id: NO for request in THREE}
        assert asyncio.get_running_loop().time() == 3.0
        assert desk.jobs.status(job.job_id) is None
        with pytest.raises(KeyError):
            await desk.jobs.collect(job.job_id)
        assert not desk.jobs.cancel(job.job_id)
        assert (desk.counted("scheduled"), desk.counted("completed")) == (1, 1)

    at_a_desk(script)


def test_a_finished_job_waits_to_be_collected():
    async def script(desk):
        job = desk.jobs.schedule(THREE)
        await asyncio.sleep(60.0)
        assert desk.jobs.status(job.job_id) is BatchJobStatus.COMPLETED
        assert not desk.jobs.cancel(job.job_id)
        assert len(await desk.jobs.collect(job.job_id)) == 3

    at_a_desk(script)


def test_a_cancelled_job_gives_what_was_in_and_drops_the_turn_that_had_begun():
    async def script(desk):
        job = desk.jobs.schedule(THREE)
        await asyncio.sleep(1.5)
        assert desk.jobs.cancel(job.job_id)
        assert desk.jobs.status(job.job_id) is BatchJobStatus.CANCELLED
        assert list(await desk.jobs.collect(job.job_id)) == [THREE[0].queue_id]
        assert desk.begun == THREE[:2]
        assert desk.jobs.status(job.job_id) is None
        assert (desk.counted("cancelled"), desk.counted("completed")) == (1, None)

    at_a_desk(script)


def test_whoever_stops_collecting_stops_the_job_and_leaves_nothing_behind():
    async def script(desk):
        job = desk.jobs.schedule(THREE)
        collecting = asyncio.create_task(desk.jobs.collect(job.job_id))
        await asyncio.sleep(1.5)
        collecting.cancel()
        await asyncio.wait([collecting])
        await asyncio.sleep(10.0)
        assert desk.begun == THREE[:2]
        assert desk.jobs.status(job.job_id) is None
        assert len(asyncio.all_tasks()) == 1

    at_a_desk(script)


def test_jobs_at_the_same_time_share_the_places_at_the_provider():
    async def script(desk):
        jobs = [desk.jobs.schedule([queued(10 * job + number) for number in range(4)]) for job in range(2)]
        for job in jobs:
            await desk.jobs.collect(job.job_id)
        return asyncio.get_running_loop().time()

    # 8 requests of 1 s, two at a time.
    assert at_a_desk(script, concurrency=2) == 4.0


def test_the_size_of_a_job_is_counted_when_it_is_scheduled_and_its_time_when_it_ends():
    async def script(desk):
        job = desk.jobs.schedule(THREE)
        name, labels = "llm_provider_batch_api_{}_sum", {"provider": "mock", "model": "default"}
        read = desk.metrics.registry.get_sample_value
        before = read(name.format("items_per_job"), labels), read(name.format("job_duration_seconds"), labels)
        await desk.jobs.collect(job.job_id)
        after = read(name.format("items_per_job"), labels), read(name.format("job_duration_seconds"), labels)
        return before, after

    assert at_a_desk(script) == ((3, None), (3, 3.0))


async def completed_after(lab, count):
    """(number asked, seconds after the lab began) of the next callbacks."""
    numbers = {correlation_id(number): number for number in range(200)}
    told = [await lab.next_result() for _ in range(count)]
    return [(numbers[result.correlation_id], (result.completed_at - ORIGIN).total_seconds()) for result in told]


def test_a_transient_error_is_retried_by_itself_in_a_later_job():
    async def script(lab):
        moody = served_by(lab, Moody(first_attempts_of(2, late())))
        for number in range(4):
            await lab.post(number)
        told = [await lab.next_result() for _ in range(4)]
        assert all(result.succeeded for result in told)
        assert moody.asked[4:] == [(correlation_id(2), 1)]
        metrics = (await lab.client.get("/metrics")).text
        labels = 'model="default",provider="mock"'
        assert f'batch_api_jobs_total{{{labels},status="completed"}} 2.0' in metrics
        assert f"batch_api_items_per_job_sum{{{labels}}} 5.0" in metrics

    in_lab(script, queue_processing_mode="batch_api")


def test_disabled_starts_a_job_as_soon_as_something_waits():
    async def script(lab):
        await lab.post(0)
        await asyncio.sleep(0.5)
        for number in range(1, 4):
            await lab.post(number)
        return await completed_after(lab, 4)

    told = in_lab(script, mode(**SLOW), queue_processing_mode="batch_api")
    assert told == [(0, 1.0), (1, 4.0), (2, 4.0), (3, 4.0)]


OPPORTUNISTIC = {
    "queue_processing_mode": "batch_api",
    "batch_api_mode": "opportunistic",
    "batch_api_linger_seconds": 5.0,
    "serial_bundle_max_requests_per_call": 3,
}


def test_opportunistic_starts_when_the_first_request_has_waited_long_enough():
    async def script(lab):
        await lab.post(0)
        await asyncio.sleep(4.0)
        await lab.post(1)
        await asyncio.sleep(1.5)
        await lab.post(2)
        return await completed_after(lab, 3)

    # The job of two begins at 5 s. The third came at 5.5 s, has waited to 10.5 s by the time it starts.
    assert in_lab(script, mode(**SLOW), **OPPORTUNISTIC) == [(0, 7.0), (1, 7.0), (2, 11.5)]


@pytest.mark.parametrize("at_once", [1, 4])
def test_opportunistic_starts_at_once_when_a_job_is_full(at_once):
    async def script(lab):
        moody = served_by(lab, Moody())
        await lab.post(0)
        await asyncio.sleep(1.0)
        await lab.post(1)
        await lab.post(2)
        await completed_after(lab, 3)
        assert await lab.no_more_callbacks()
        return moody.asked_at

    begins = {1: [1.0, 2.0, 3.0], 4: [1.0, 1.0, 1.0]}
    assert in_lab(script, **OPPORTUNISTIC, llm_max_concurrent_requests=at_once) == begins[at_once]


def test_opportunistic_fills_a_job_up_to_its_leads_hint():
    async def script(lab):
        await lab.post(0, metadata={"preferred_bundle_size": 1})
        await lab.post(1, metadata={"preferred_bundle_size": 2})
        await lab.post(2)
        return await completed_after(lab, 3)

    assert in_lab(script, mode(**SLOW), **OPPORTUNISTIC) == [(0, 1.0), (1, 3.0), (2, 3.0)]


NIGHTLY = {
    "queue_processing_mode": "batch_api",
    "batch_api_mode": "nightly",
    "batch_api_nightly_start_hour": 23,
    "batch_api_nightly_hours": 2,
}


def test_nightly_waits_for_its_window_and_nothing_expires_meanwhile():
    async def script(lab):
        await lab.post(0)
        await asyncio.sleep(3600.0)
        await lab.post(1)
        return [await anytime(lab) for _ in range(2)]

    # It is 14:24:16; the window opens at 23:00, more than the 4 h that a request may wait.
    told = in_lab(script, mode(**SLOW), **NIGHTLY)
    opens = ORIGIN.replace(hour=23, minute=0, second=0)
    assert [result.completed_at for result in told] == [opens + timedelta(seconds=2)] * 2
    assert all(result.succeeded for result in told)


async def anytime(lab):
    """The next result, however long it takes."""
    while True:
        try:
            return await lab.next_result()
        except TimeoutError:
            continue


def test_what_is_not_begun_when_the_window_closes_waits_for_the_next_one():
    async def script(lab):
        served_by(lab, Moody(of=mode(latency={"model": "constant", "ms": 280_000})))
        await asyncio.sleep((ORIGIN.replace(hour=23, minute=0, second=0) - ORIGIN).total_seconds() + 2 * 3600 - 100)
        await lab.post(0)  # 100 s before the window closes
        await asyncio.sleep(50.0)
        await lab.post(1)  # in time, and its turn comes too late
        return [await anytime(lab) for _ in range(2)]

    told = in_lab(script, **NIGHTLY, serial_bundle_max_requests_per_call=1, queue_request_ttl_hours=30.0)
    closes = ORIGIN.replace(hour=23, minute=0, second=0) + timedelta(hours=2)
    assert told[0].completed_at == closes + timedelta(seconds=180)
    assert told[1].completed_at == closes + timedelta(hours=22, seconds=280)
