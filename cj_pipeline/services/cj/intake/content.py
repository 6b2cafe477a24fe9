"""This module gets stored texts from the content service by their id, and puts one there.

A text is asked for again where that can help; it never stands in an error.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol
from urllib.parse import quote

import httpx

from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.foundation.retrying import RETRYABLE_STATUSES, Waits, retry

# 4 attempts over 7 s: enough for a restart, and short enough that a batch with one lost text is not held up for long.
ATTEMPTS = 4
_WAITS = Waits(first_s=1.0, most_s=4.0)


class ContentReason(StrEnum):
    """Why there is no text, in production's words."""

    EMPTY = "empty_content"
    SERVICE_ERROR = "content_service_error"


class NoContent(CjPipelineError):
    """A text that cannot be had."""

    def __init__(self, storage_id: str, reason: ContentReason) -> None:
        self.storage_id = storage_id
        self.reason = reason
        super().__init__(f"stored text {storage_id}: {reason.value}")


class ContentSource(Protocol):
    """Where texts are."""

    async def fetch(self, storage_id: str) -> str:
        """Return the text. Raises NoContent."""
        ...

    async def store(self, text: str) -> str:
        """Keep a text; its new id. Raises NoContent."""
        ...


class HttpContent:
    """The content service: GET {base}/{id} gives the text, POST {base} takes one and answers with its storage_id."""

    def __init__(self, client: httpx.AsyncClient, base_url: str, timeout_s: float) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s

    async def fetch(self, storage_id: str) -> str:
        """Return the text, asked for four times at most. Raises NoContent."""
        response = await self._call(storage_id, "GET", f"{self._base_url}/{_segment(storage_id)}", None)
        if not response.text.strip():
            raise NoContent(storage_id, ContentReason.EMPTY)
        return response.text

    async def store(self, text: str) -> str:
        """Keep a text. Raises NoContent."""
        response = await self._call("(new)", "POST", self._base_url, text)
        try:
            return str(response.json()["storage_id"])
        except (ValueError, KeyError, TypeError):
            raise NoContent("(new)", ContentReason.SERVICE_ERROR) from None

    async def _call(self, storage_id: str, method: str, url: str, text: str | None) -> httpx.Response:
        async def call() -> httpx.Response:
            content = None if text is None else text.encode()
            response = await self._client.request(method, url, content=content, timeout=self._timeout_s)
            if not response.is_success:
                raise httpx.HTTPStatusError("", request=response.request, response=response)
            return response

        try:
            return await retry(call, on=_least_wait_s, waits=_WAITS, attempts=ATTEMPTS)
        except httpx.HTTPError:
            raise NoContent(storage_id, ContentReason.SERVICE_ERROR) from None


def _segment(storage_id: str) -> str:
    """Return an id as one segment of a path, whatever it holds; `.` and `..` would be steps. Raises NoContent."""
    if storage_id in {".", ".."}:
        raise NoContent(storage_id, ContentReason.SERVICE_ERROR)
    return quote(storage_id, safe="")


def _least_wait_s(error: Exception) -> float | None:
    if isinstance(error, httpx.HTTPStatusError):
        return 0.0 if error.response.status_code in RETRYABLE_STATUSES else None
    return 0.0 if isinstance(error, httpx.HTTPError) else None
