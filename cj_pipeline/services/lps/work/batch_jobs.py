"""This module runs the jobs of `batch_api`: many requests handed over at once, their answers collected when all are in.

A job runs in this process, through the same providers, request by request; or it is handed over as a whole, to a
provider's own batch endpoint. It lives in memory: its requests stay claimed in the queue, which takes them back if the
process dies. What was handed over by then is found again (providers/batches).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from cj_pipeline.contracts.enums import BatchJobStatus
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.services.lps.metrics import LpsMetrics
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest
from cj_pipeline.services.lps.work.callbacks import Outcome

Attempt = Callable[[QueuedRequest], Awaitable[Outcome]]
Together = Callable[[Sequence[QueuedRequest]], Awaitable[Mapping[UUID, Outcome]]]


@dataclass(slots=True, eq=False)
class BatchJob:
    """One job. outcomes: by queue id (the `custom_id` of batch APIs), as far as they are in."""

    job_id: UUID
    requests: tuple[QueuedRequest, ...]
    status: BatchJobStatus = BatchJobStatus.PENDING
    outcomes: dict[UUID, Outcome] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class BatchJobs:
    """The jobs of one service.

    attempt: makes one attempt at one request and never raises; together: the same for all of a job, or None where
    there is no such endpoint for them.
    """

    def __init__(
        self,
        attempt: Attempt,
        clock: LoopClock,
        metrics: LpsMetrics,
        concurrency: int,
        together: Callable[[QueuedRequest], Together | None] = lambda _: None,
    ) -> None:
        self._attempt = attempt
        self._together = together
        self._clock = clock
        self._metrics = metrics
        # One for all jobs: several of them at once must not ask the provider that many times as much.
        self._turns = asyncio.Semaphore(concurrency)
        self._concurrency = concurrency
        self._jobs: dict[UUID, BatchJob] = {}

    def schedule(self, requests: Sequence[QueuedRequest]) -> BatchJob:
        """Start a job. requests: at least one; the first gives the job its id, provider and model."""
        lead = requests[0]
        job = BatchJob(lead.queue_id, tuple(requests))
        self._jobs[job.job_id] = job
        job.status = BatchJobStatus.SCHEDULED
        self._metrics.job_scheduled(lead.provider, lead.model_label, len(requests))
        job.task = asyncio.create_task(self._run(job), name="lps-batch-job")
        return job

    def status(self, job_id: UUID) -> BatchJobStatus | None:
        """Return the state of a job; None for one that there is not, or that was collected."""
        job = self._jobs.get(job_id)
        return None if job is None else job.status

    async def collect(self, job_id: UUID) -> Mapping[UUID, Outcome]:
        """Wait for a job to end, and forget it: outcomes by queue id, without those whose turn a cancellation took.

        Raises KeyError for a job that there is not.
        """
        job = self._jobs[job_id]
        task = job.task
        assert task is not None  # noqa: S101 - schedule has set it
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            del self._jobs[job_id]
        if not task.cancelled():
            task.result()
        return job.outcomes

    def cancel(self, job_id: UUID) -> bool:
        """Stop a job: whose turn has begun, it is dropped and not counted. False when there is no such job running."""
        job = self._jobs.get(job_id)
        if job is None or job.task is None or job.task.done():
            return False
        job.status = BatchJobStatus.CANCELLED
        job.task.cancel()
        return True

    def cancel_all(self) -> None:
        """Stop every job."""
        for job_id in list(self._jobs):
            self.cancel(job_id)

    async def _run(self, job: BatchJob) -> None:
        started = self._clock.monotonic()
        job.status = BatchJobStatus.RUNNING
        turns = iter(job.requests)

        async def work() -> None:
            for request in turns:
                async with self._turns:
                    job.outcomes[request.queue_id] = await self._attempt(request)

        try:
            together = self._together(job.requests[0])
            if together is not None:
                job.outcomes.update(await together(job.requests))
            else:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self._concurrency, len(job.requests))):
                        group.create_task(work())
            job.status = BatchJobStatus.COMPLETED
        except asyncio.CancelledError:
            job.status = BatchJobStatus.CANCELLED
            raise
        except BaseException:
            job.status = BatchJobStatus.FAILED
            raise
        finally:
            lead = job.requests[0]
            self._metrics.job_ended(lead.provider, lead.model_label, job.status, self._clock.monotonic() - started)
