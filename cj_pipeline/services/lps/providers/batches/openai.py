"""This module speaks OpenAI's Batch API: a file of requests, a job over it, a file of results and one of errors.

A job carries notes (`metadata`), and all jobs can be listed: one whose submission nobody saw the end of is found again
by them. The files hold essays, and are removed once a job is collected.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from cj_pipeline.services.lps.providers.apis.identifiers import identifier
from cj_pipeline.services.lps.providers.batches.http import BatchHttp, created_id
from cj_pipeline.services.lps.providers.batches.job import BatchRefused, End, Item, Job, ReplyPart, Result, Stage, State

ENDPOINT = "/v1/chat/completions"
NOTE = "cj_pipeline_job"

# The clock of the provider need not agree with ours.
_SKEW = timedelta(hours=1)
_PAGE = 100
_ENDED = ("completed", "expired", "cancelled")
_CODES = {"batch_expired": End.EXPIRED, "batch_cancelled": End.CANCELLED}


class _Problem(ReplyPart):
    code: str | None = None


class _Problems(ReplyPart):
    data: tuple[_Problem, ...] = ()


class _Batch(ReplyPart):
    id: str
    status: str
    created_at: int = 0
    metadata: dict[str, str] | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Problems | None = None


class _Page(ReplyPart):
    data: tuple[_Batch, ...] = ()
    has_more: bool = False


class _Line(ReplyPart):
    custom_id: str
    response: dict[str, Any] | None = None
    error: _Problem | None = None


class OpenAiBatches:
    """Jobs of chat completions."""

    most_bytes = 190_000_000  # 200 MB in 50,000 requests, says the API

    def __init__(self, http: BatchHttp) -> None:
        self._http = http

    async def submit(self, job: Job, items: Sequence[Item]) -> str:
        """See `BatchApi.submit`."""
        lines = b"".join(
            json.dumps({"custom_id": item.custom_id, "method": "POST", "url": ENDPOINT, "body": item.payload}).encode()
            + b"\n"
            for item in items
        )
        uploaded = await self._http.call(
            "POST",
            "/files",
            data={"purpose": "batch"},
            files={"file": (f"{NOTE}-{job.job_id}.jsonl", lines, "application/jsonl")},
        )
        wanted = {
            "input_file_id": created_id(uploaded),
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "metadata": {NOTE: job.job_id},
        }
        return created_id(await self._http.call("POST", "/batches", json=wanted))

    async def find(self, job: Job, others: frozenset[str]) -> str | None:
        """See `BatchApi.find`."""
        async for batch in self._listed((job.created_at - _SKEW).timestamp()):
            if (batch.metadata or {}).get(NOTE) == job.job_id and batch.id not in others:
                return batch.id
        return None

    async def state(self, remote_id: str) -> State:
        """See `BatchApi.state`."""
        batch = await self._batch(remote_id)
        if batch.status == "failed":
            codes = batch.errors.data if batch.errors else ()
            return State(Stage.FAILED, identifier(codes[0].code) if codes else None)
        return State(Stage.ENDED if batch.status in _ENDED else Stage.RUNNING)

    async def results(self, remote_id: str) -> list[Result]:
        """See `BatchApi.results`."""
        batch = await self._batch(remote_id)
        results = []
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id:
                content = (await self._http.call("GET", f"/files/{file_id}/content")).content
                results += [_result(line) for line in content.splitlines() if line.strip()]
        return [result for result in results if result is not None]

    async def cancel(self, remote_id: str) -> None:
        """See `BatchApi.cancel`."""
        await self._http.call("POST", f"/batches/{remote_id}/cancel")

    async def discard(self, remote_id: str) -> None:
        """See `BatchApi.discard`."""
        batch = await self._batch(remote_id)
        for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id):
            if file_id:
                with suppress(BatchRefused):
                    await self._http.call("DELETE", f"/files/{file_id}")

    async def _batch(self, remote_id: str) -> _Batch:
        return _Batch.model_validate_json((await self._http.call("GET", f"/batches/{remote_id}")).content)

    async def _listed(self, since: float) -> AsyncIterator[_Batch]:
        """Yield jobs from the newest to the last one that is young enough."""
        after: dict[str, str] = {}
        while True:
            reply = await self._http.call("GET", "/batches", params={"limit": str(_PAGE), **after})
            page = _Page.model_validate_json(reply.content)
            for batch in page.data:
                if batch.created_at < since:
                    return
                yield batch
            if not page.has_more or not page.data:
                return
            after = {"after": page.data[-1].id}


def _result(line: bytes) -> Result | None:
    try:
        read = _Line.model_validate_json(line)
    except ValidationError:
        return None
    code = read.error.code if read.error else None
    if code is not None or read.response is None:
        return Result(read.custom_id, _CODES.get(code or "", End.LOST))
    status, body = read.response.get("status_code"), read.response.get("body")
    return Result(
        read.custom_id, End.ANSWERED, status if isinstance(status, int) else 502, json.dumps(body or {}).encode()
    )
