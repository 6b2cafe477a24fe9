"""This module speaks Anthropic's Message Batches API: requests in one body, results as lines once all are done.

A job has no notes, and whose requests are in it can be seen only in its results. One whose submission nobody saw the
end of is therefore looked for among the jobs of about that time and exactly that size, and waited for until it ends:
up to 24 hours. That is as far as this API lets us tell.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import httpx
from pydantic import AwareDatetime, ValidationError

from cj_pipeline.foundation.retrying import Waits, backoff_s
from cj_pipeline.services.lps.providers.batches.http import BatchHttp, created_id
from cj_pipeline.services.lps.providers.batches.job import End, Item, Job, ReplyPart, Result, Stage, State

_log = logging.getLogger(__name__)

# The clock of the provider need not agree with ours.
_SKEW = timedelta(minutes=10)
_PAGE = 100
_ENDS = {"expired": End.EXPIRED, "canceled": End.CANCELLED}
# What the API says by status where a message is asked for by itself.
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _Counts(ReplyPart):
    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def all(self) -> int:
        return self.processing + self.succeeded + self.errored + self.canceled + self.expired


class _Batch(ReplyPart):
    id: str
    processing_status: str
    created_at: AwareDatetime
    request_counts: _Counts = _Counts()


class _Page(ReplyPart):
    data: tuple[_Batch, ...] = ()
    has_more: bool = False


class _Outcome(ReplyPart):
    type: str
    message: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class _Line(ReplyPart):
    custom_id: str
    result: _Outcome


class AnthropicBatches:
    """Jobs of messages. waits: between two looks at a job that may be one of ours."""

    most_bytes = 250_000_000  # 256 MB in 100,000 requests, says the API

    def __init__(self, http: BatchHttp, waits: Waits) -> None:
        self._http = http
        self._waits = waits

    async def submit(self, job: Job, items: Sequence[Item]) -> str:
        """See `BatchApi.submit`."""
        del job  # there is no place for its id
        wanted = {"requests": [{"custom_id": item.custom_id, "params": dict(item.payload)} for item in items]}
        return created_id(await self._http.call("POST", "/messages/batches", json=wanted))

    async def find(self, job: Job, others: frozenset[str]) -> str | None:
        """See `BatchApi.find`."""
        wanted = set(job.custom_ids)
        async for batch in self._listed(job):
            if batch.id in others or batch.request_counts.all != job.submitted:
                continue
            looks = 0
            while (await self.state(batch.id)).stage is Stage.RUNNING:
                if looks == 0:
                    about = {"job_id": job.job_id, "batch_id": batch.id, "provider": job.provider.value}
                    _log.info("a job may be the one that is looked for; only its end can tell", extra=about)
                looks += 1
                await asyncio.sleep(backoff_s(looks, self._waits))
            if wanted <= {result.custom_id for result in await self.results(batch.id)}:
                return batch.id
        return None

    async def state(self, remote_id: str) -> State:
        """See `BatchApi.state`."""
        reply = await self._http.call("GET", f"/messages/batches/{remote_id}")
        ended = _Batch.model_validate_json(reply.content).processing_status == "ended"
        return State(Stage.ENDED if ended else Stage.RUNNING)

    async def results(self, remote_id: str) -> list[Result]:
        """See `BatchApi.results`. The address is ours and not the reply's: a key never follows a link."""
        content = (await self._http.call("GET", f"/messages/batches/{remote_id}/results")).content
        results = [_result(line) for line in content.splitlines() if line.strip()]
        return [result for result in results if result is not None]

    async def cancel(self, remote_id: str) -> None:
        """See `BatchApi.cancel`."""
        await self._http.call("POST", f"/messages/batches/{remote_id}/cancel")

    async def discard(self, remote_id: str) -> None:
        """See `BatchApi.discard`."""
        await self._http.call("DELETE", f"/messages/batches/{remote_id}")

    async def _listed(self, job: Job) -> AsyncIterator[_Batch]:
        """Yield jobs from the newest to the last one that may be this."""
        after: dict[str, str] = {}
        while True:
            reply = await self._http.call("GET", "/messages/batches", params={"limit": str(_PAGE), **after})
            page = _Page.model_validate_json(reply.content)
            for batch in page.data:
                if batch.created_at < job.created_at - _SKEW:
                    return
                yield batch
            if not page.has_more or not page.data:
                return
            after = {"after_id": page.data[-1].id}


def _result(line: bytes) -> Result | None:
    try:
        read = _Line.model_validate_json(line)
    except ValidationError:
        return None
    outcome = read.result
    if outcome.type == "succeeded":
        return Result(read.custom_id, End.ANSWERED, httpx.codes.OK, json.dumps(outcome.message or {}).encode())
    if outcome.type != "errored":
        return Result(read.custom_id, _ENDS.get(outcome.type, End.LOST))
    # The error stands in an envelope of its own, as in a reply.
    envelope = outcome.error or {}
    error = envelope.get("error") if isinstance(envelope.get("error"), dict) else envelope
    status = _STATUSES.get(str(error.get("type")) if isinstance(error, dict) else "", 500)
    return Result(read.custom_id, End.ANSWERED, status, json.dumps({"type": "error", "error": error}).encode())
