"""This module has requests answered through a provider's batch endpoint, at most once each, whatever happens meanwhile.

A job is stored before it is submitted, and again with the id that the provider gave it; requests that come back to a
later process find it by their queue ids. Between the two a kill leaves a job of which only the provider may know: it is
looked for there before anything is submitted again. A job is forgotten once its answers are in the outbox.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import httpx

from cj_pipeline.contracts.answer import Failure, ProviderAnswer, ProviderError
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.retrying import Waits, backoff_s
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.services.lps.providers.batches.job import (
    BatchApi,
    BatchRefused,
    End,
    Item,
    Job,
    Result,
    Stage,
    State,
)
from cj_pipeline.services.lps.providers.batches.outcomes import (
    NOT_FOUND,
    Outcome,
    given_up,
    not_submitted,
    outcome,
    unworked,
)
from cj_pipeline.services.lps.providers.batches.store import JobStore
from cj_pipeline.services.lps.providers.http_provider import HttpProvider, Prepared
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

_log = logging.getLogger(__name__)

Outcomes = dict[UUID, Outcome]
Found = TypeVar("Found")

# A list of jobs need not show one at once that was made a moment ago.
SETTLES_S = 10.0
# Both providers end a job after 24 h, whatever it has by then.
LONGEST = timedelta(hours=25)
# Neither provider keeps results for longer.
_KEPT = timedelta(days=29)
# A provider that answers nothing about a job for so long is not waited for any more.
PATIENCE = timedelta(hours=48)
# What is left behind at a provider is a nuisance; a worker does not wait for it any longer.
_DISCARD_S = 30.0
_LEFT = (httpx.RequestError, TimeoutError, ValueError)


@dataclass(frozen=True, slots=True)
class BatchEndpoint:
    """One provider's: its language, and who builds and reads its calls one by one."""

    api: BatchApi
    provider: HttpProvider
    base_url: str


class ProviderBatches:
    """The batch endpoints of one service. waits: between two looks at a job; close: of the connections."""

    def __init__(
        self,
        endpoints: Mapping[Provider, BatchEndpoint],
        store: JobStore,
        clock: LoopClock,
        waits: Waits,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._endpoints = endpoints
        self._store = store
        self._clock = clock
        self._waits = waits
        self._close = close

    async def aclose(self) -> None:
        """Close the connections."""
        await self._close()

    def look_back(self) -> None:
        """Tell the log of the jobs that are still open, and forget those whose results nobody has any more.

        Raises BadInput when no job can be stored: found out later, it would cost requests their turn.
        """
        self._store.open()
        for job in self._store.jobs():
            if self._clock.now() - job.created_at > _KEPT:
                _log.warning("a job was never asked for again; it is forgotten", extra=_about(job))
                self._store.drop(job, set(job.custom_ids))
            else:
                _log.info("a job is open; it goes on when its requests come back", extra=_about(job))

    def takes(self, request: QueuedRequest) -> bool:
        """Whether this request can be answered here."""
        at = self._endpoints.get(request.resolved_provider)
        return at is not None and not at.provider.has_its_own_address(request)

    async def answer(self, requests: Sequence[QueuedRequest]) -> Outcomes:
        """Return the outcome of each. requests: of one provider. Never raises for what a provider does."""
        at = self._endpoints[requests[0].resolved_provider]
        waiting = {_custom_id(request): request for request in requests}
        parts: list[Coroutine[Any, Any, Outcomes]] = []
        for job in self._store.jobs():
            if job.provider is not at.provider.name or job.base_url != at.base_url:
                continue
            members = [waiting.pop(custom_id) for custom_id in job.custom_ids if custom_id in waiting]
            if members:
                _log.info("a job from before goes on", extra=_about(job, len(members)))
                parts.append(_or_its_failure(members, self._resume(at, job, members)))
        if waiting:
            new = list(waiting.values())
            parts.append(_or_its_failure(new, self._start(at, new)))
        return await _together(parts)

    async def forget(self, requests: Sequence[QueuedRequest]) -> None:
        """Their outcomes are kept elsewhere. What the provider keeps of a job that is over is removed."""
        gone = {_custom_id(request) for request in requests}
        for job in self._store.jobs():
            if gone.intersection(job.custom_ids):
                await self._drop(job, gone)

    async def _drop(self, job: Job, custom_ids: set[str]) -> None:
        over = self._store.drop(job, custom_ids)
        at = self._endpoints.get(job.provider)
        if over is None or over.remote_id is None or at is None:
            return
        try:
            async with asyncio.timeout(_DISCARD_S):
                await at.api.discard(over.remote_id)
        except (BatchRefused, *_LEFT) as error:
            _log.warning("the provider keeps the files of a job (%s)", type(error).__name__, extra=_about(over))

    async def _start(self, at: BatchEndpoint, requests: Sequence[QueuedRequest]) -> Outcomes:
        """Submit requests as new jobs: one, unless they are too large for one."""
        outcomes: Outcomes = {}
        ready: list[Prepared] = []
        for request in requests:
            try:
                ready.append(at.provider.prepared(request))
            except ProviderError as error:
                outcomes[request.queue_id] = error.failure
        return outcomes | await _together([self._submit(at, part) for part in _parts(ready, at.api.most_bytes)])

    async def _submit(self, at: BatchEndpoint, ready: Sequence[Prepared]) -> Outcomes:
        lead = ready[0].request
        job = Job(
            job_id=str(keyed_uuid("lps", "batch", str(lead.queue_id), lead.attempts, str(self._clock.now()))),
            provider=at.provider.name,
            base_url=at.base_url,
            model=ready[0].model.model_id,
            structure=ready[0].structure,
            created_at=self._clock.now(),
            custom_ids=tuple(_custom_id(one.request) for one in ready),
            submitted=len(ready),
        )
        self._store.put(job)
        try:
            remote_id = await at.api.submit(job, [Item(_custom_id(one.request), one.call.payload) for one in ready])
        except (BatchRefused, *_LEFT) as error:
            found = None
            if not isinstance(error, BatchRefused) or error.status >= httpx.codes.INTERNAL_SERVER_ERROR:
                # It may have been taken all the same.
                found = await self._found(at, job)
            if found is None:
                self._store.drop(job, set(job.custom_ids))
                failure = not_submitted(job, error)
                _log.warning("a job was not submitted: %s", failure.message, extra=_about(job))
                return {one.request.queue_id: failure for one in ready}
            remote_id = found
        job = job.model_copy(update={"remote_id": remote_id})
        self._store.put(job)
        _log.info("a job is submitted", extra=_about(job))
        return await self._collect(at, job, [one.request for one in ready])

    async def _resume(self, at: BatchEndpoint, job: Job, requests: Sequence[QueuedRequest]) -> Outcomes:
        if job.remote_id is None:
            found = await self._found(at, job)
            if found is None:
                _log.info("a job was never submitted; its requests are now", extra=_about(job))
                self._store.drop(job, {_custom_id(request) for request in requests})
                return await self._start(at, requests)
            job = job.model_copy(update={"remote_id": found})
            self._store.put(job)
        return await self._collect(at, job, requests)

    async def _found(self, at: BatchEndpoint, job: Job) -> str | None:
        """Look for a job at the provider, for as long as it takes to get an answer."""
        settled = (job.created_at - self._clock.now()).total_seconds() + SETTLES_S
        await asyncio.sleep(max(0.0, settled))
        others = frozenset(
            other.remote_id for other in self._store.jobs() if other.remote_id and other.job_id != job.job_id
        )
        try:
            return await self._insist(job, "looked for", lambda: at.api.find(job, others))
        except BatchRefused:
            return None

    async def _collect(self, at: BatchEndpoint, job: Job, requests: Sequence[QueuedRequest]) -> Outcomes:
        """Wait for a job to end, and read what it has of these requests."""
        remote_id = job.remote_id or ""
        try:
            state = await self._ended(at, job, remote_id)
            results = (
                await self._insist(job, "read", lambda: at.api.results(remote_id)) if state.stage is Stage.ENDED else []
            )
        except BatchRefused:
            _log.warning("the provider has no such job any more; its requests are submitted again", extra=_about(job))
            self._store.drop(job, {_custom_id(request) for request in requests})
            return await self._start(at, requests)
        took_s = (self._clock.now() - job.created_at).total_seconds()
        by_id = {result.custom_id: result for result in results}
        outcomes: Outcomes = {}
        for request in requests:
            if state.stage is not Stage.ENDED:
                outcomes[request.queue_id] = unworked(job, state, LONGEST)
            else:
                result = by_id.get(_custom_id(request), Result(_custom_id(request), End.LOST))
                outcomes[request.queue_id] = outcome(at.provider, job, request, result, took_s)
        again = {
            _custom_id(request)
            for request in requests
            if isinstance(end := outcomes[request.queue_id], Failure) and end.worth_retrying
        }
        if again:
            # Before they are queued again: found here, they would get the same failure once more. None is billed.
            await self._drop(job, again)
        answered = sum(isinstance(end, ProviderAnswer) for end in outcomes.values())
        _log.info("a job is over", extra=_about(job, len(requests)) | {"answered": answered})
        return outcomes

    async def _ended(self, at: BatchEndpoint, job: Job, remote_id: str) -> State:
        looks = 0
        while True:
            state = await self._insist(job, "asked for", lambda: at.api.state(remote_id))
            if state.stage is not Stage.RUNNING:
                return state
            if self._clock.now() - job.created_at > LONGEST:
                _log.error("a job did not end in %s; it is stopped", LONGEST, extra=_about(job))
                try:
                    await at.api.cancel(remote_id)
                except (BatchRefused, *_LEFT):
                    _log.warning("a job could not be stopped", extra=_about(job))
                return State(Stage.RUNNING)
            looks += 1
            await asyncio.sleep(backoff_s(looks, self._waits))

    async def _insist(self, job: Job, what: str, action: Callable[[], Awaitable[Found]]) -> Found:
        """Repeat a question that changes nothing until it is answered, telling the log. Raises BatchRefused for 404."""
        refusals = 0
        while True:
            try:
                return await action()
            except (BatchRefused, *_LEFT) as error:
                if isinstance(error, BatchRefused) and error.status == NOT_FOUND:
                    raise
                if self._clock.now() - job.created_at > PATIENCE:
                    raise given_up(job, what, PATIENCE) from None
                refusals += 1
                wait_s = backoff_s(refusals, self._waits)
                reason = f"HTTP status {error.status}" if isinstance(error, BatchRefused) else type(error).__name__
                _log.warning("a job could not be %s (%s), again in %.0f s", what, reason, wait_s, extra=_about(job))
                await asyncio.sleep(wait_s)


def _custom_id(request: QueuedRequest) -> str:
    return str(request.queue_id)


async def _together(parts: Sequence[Coroutine[Any, Any, Outcomes]]) -> Outcomes:
    outcomes: Outcomes = {}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in parts]
    for task in tasks:
        outcomes |= task.result()
    return outcomes


async def _or_its_failure(members: Sequence[QueuedRequest], part: Awaitable[Outcomes]) -> Outcomes:
    try:
        return await part
    except ProviderError as error:
        return {request.queue_id: error.failure for request in members}


def _about(job: Job, requests: int | None = None) -> dict[str, Any]:
    """Say in the log which job it is."""
    about = {"job_id": job.job_id, "batch_id": job.remote_id, "provider": job.provider.value}
    return about | {"requests": len(job.custom_ids) if requests is None else requests}


def _parts(ready: Sequence[Prepared], most_bytes: int) -> list[list[Prepared]]:
    parts: list[list[Prepared]] = []
    size = most_bytes
    for one in ready:
        bytes_of_it = len(json.dumps(one.call.payload)) + 200  # what stands around it in a line
        if size + bytes_of_it > most_bytes:
            parts.append([])
            size = 0
        parts[-1].append(one)
        size += bytes_of_it
    return parts
