"""This module posts one comparison to an LPS, again where that can help.

Only 202 is acceptance. A refusal that may pass is tried again under the same correlation id, by which the LPS knows a
repetition, so a post whose answer was lost does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx
from pydantic import ValidationError

from cj_pipeline.contracts.comparison import ComparisonRequest, QueuedResponse
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.foundation.retrying import RETRYABLE_STATUSES, Waits, retry
from cj_pipeline.services.cj.settings import CjSettings

# A service that asks for more is not waited for: its comparison fails now, and comes back with the retries.
LONGEST_RETRY_AFTER_S = 300.0


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a comparison was not accepted, in the wire's codes; never with any of the answer's text."""

    error_code: ErrorCode


class _NotAccepted(Exception):
    """One post failed. wait_s: before another at least; None where no other can help."""

    def __init__(self, refused: Refused, wait_s: float | None) -> None:
        self.refused = refused
        self.wait_s = wait_s
        super().__init__(refused.error_code)


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
        try:
            await retry(
                lambda: self._post(body),
                on=lambda error: error.wait_s if isinstance(error, _NotAccepted) else None,
                waits=Waits(settings.llm_retry_wait_min_seconds, settings.llm_retry_wait_max_seconds),
                attempts=settings.llm_retry_attempts if settings.llm_retry_enabled else 1,
            )
        except _NotAccepted as last:
            return last.refused
        return None

    async def _post(self, body: bytes) -> None:
        """Post once. Raises _NotAccepted."""
        try:
            response = await self._client.post(
                self._url,
                content=body,
                headers={"Content-Type": "application/json"},
                timeout=self._settings.llm_submission_timeout_seconds,
            )
        except httpx.TimeoutException:
            raise _NotAccepted(Refused(ErrorCode.TIMEOUT), 0.0) from None
        except httpx.HTTPError:
            raise _NotAccepted(Refused(ErrorCode.CONNECTION_ERROR), 0.0) from None
        if response.status_code == httpx.codes.ACCEPTED and _is_queued(response):
            return
        passing = response.status_code in RETRYABLE_STATUSES or _says_retryable(response)
        wait_s = _retry_after_s(response)
        raise _NotAccepted(
            Refused(_code(response.status_code)), wait_s if passing and wait_s <= LONGEST_RETRY_AFTER_S else None
        )


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
