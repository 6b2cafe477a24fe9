"""Posting one comparison to an LPS.

Here: the post, what counts as accepted, and trying again. Not here: which comparisons (submission.py), their bodies.
Only 202 is acceptance. A refusal that may pass is tried again under the same correlation id, by which the LPS knows a
repetition, so a post whose answer was lost does no harm.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx
from pydantic import ValidationError

from cj_pipeline.contracts.comparison import ComparisonRequest, QueuedResponse
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.services.cj.settings import CjSettings

_PASSING = frozenset({429, 500, 502, 503, 504})

# A service that asks for more is not waited for: its comparison fails now, and comes back with the retries.
LONGEST_RETRY_AFTER_S = 300.0


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a comparison was not accepted, in the wire's codes; never with any of the answer's text."""

    error_code: ErrorCode


class LpsClient:
    """One LPS, as its settings name it."""

    def __init__(self, client: httpx.AsyncClient, settings: CjSettings) -> None:
        self._client = client
        self._url = settings.llm_provider_service_url.rstrip("/") + "/comparison"
        self._settings = settings

    async def submit(self, request: ComparisonRequest) -> Refused | None:
        """Post a comparison; None once the LPS has queued it. Takes up to attempts times timeout, and the waits."""
        settings = self._settings
        body = request.model_dump_json(exclude_none=True).encode()
        attempts = settings.llm_retry_attempts if settings.llm_retry_enabled else 1
        for attempt in range(1, attempts + 1):
            refused, retry_after_s = await self._post(body)
            if refused is None or retry_after_s is None or attempt == attempts:
                return refused
            backoff_s = min(
                settings.llm_retry_wait_min_seconds * 2 ** (attempt - 1), settings.llm_retry_wait_max_seconds
            )
            await asyncio.sleep(max(backoff_s, retry_after_s))
        raise AssertionError("there is at least one attempt")

    async def _post(self, body: bytes) -> tuple[Refused | None, float | None]:
        """Whether it was refused, and the seconds to wait at least before another try; None where none can help."""
        try:
            response = await self._client.post(
                self._url,
                content=body,
                headers={"Content-Type": "application/json"},
                timeout=self._settings.llm_submission_timeout_seconds,
            )
        except httpx.TimeoutException:
            return Refused(ErrorCode.TIMEOUT), 0.0
        except httpx.HTTPError:
            return Refused(ErrorCode.CONNECTION_ERROR), 0.0
        if response.status_code == httpx.codes.ACCEPTED and _is_queued(response):
            return None, None
        refused = Refused(_code(response.status_code))
        if response.status_code not in _PASSING and not _says_retryable(response):
            return refused, None
        wait_s = _retry_after_s(response)
        return refused, wait_s if wait_s <= LONGEST_RETRY_AFTER_S else None


def _is_queued(response: httpx.Response) -> bool:
    try:
        QueuedResponse.model_validate_json(response.content)
    except ValidationError:
        return False
    return True


def _code(status: int) -> ErrorCode:
    match status:
        case 429:
            return ErrorCode.RATE_LIMIT
        case 503:
            return ErrorCode.SERVICE_UNAVAILABLE
        case 504:
            return ErrorCode.TIMEOUT
        case 401 | 403:
            return ErrorCode.AUTHENTICATION_ERROR
        case _ if 400 <= status < 500:
            return ErrorCode.VALIDATION_ERROR
    return ErrorCode.EXTERNAL_SERVICE_ERROR


def _says_retryable(response: httpx.Response) -> bool:
    try:
        document = response.json()
    except ValueError:
        return False
    if not isinstance(document, dict):
        return False
    error = document.get("error")
    return document.get("is_retryable") is True or (isinstance(error, dict) and error.get("is_retryable") is True)


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds; 0 where the header is missing, a date or nonsense."""
    told = response.headers.get("retry-after", "")
    return float(told) if told.isascii() and told.isdigit() and len(told) < 9 else 0.0
