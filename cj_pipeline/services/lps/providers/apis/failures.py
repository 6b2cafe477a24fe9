"""This module says what a failed call means: its code, and whether another attempt can help.

The details are flat and name the provider, so that a consumer can tell whose failure it is. What the API said in prose
is left out of them: validation messages quote the prompt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

import httpx

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.foundation.retrying import RETRYABLE_STATUSES
from cj_pipeline.services.lps.providers.apis.api import identifier
from cj_pipeline.services.lps.providers.apis.verdict import BadReply
from cj_pipeline.services.lps.providers.prompts import InvalidPromptBlocks

_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_OVERLOADED = 529

# OpenAI says 429 to an account without money too; no waiting helps that.
_OUT_OF_QUOTA = "insufficient_quota"


def http_failure(
    provider: Provider, model_id: str, status: int, headers: Mapping[str, str], body: bytes
) -> ProviderError:
    """A status that is not 200, or an error in the body of one that is."""
    error = _error_object(body)
    kind, number = identifier(error.get("type") or error.get("status")), identifier(error.get("code"))
    code, error_type, retryable = _meaning(status, kind, number)
    details: dict[str, Any] = _details(provider, model_id, status, error_type, retryable)
    if number is not None:
        details["provider_error_code"] = number
    if kind is not None:
        details["provider_error_type"] = kind
    return ProviderError(
        code,
        f"{provider} answered with HTTP status {status} ({error_type}).",
        details,
        retryable=retryable,
        retry_after_s=_retry_after_s(headers, error) if retryable else None,
    )


def connection_failure(provider: Provider, model_id: str, error: Exception) -> ProviderError:
    """No reply, or half of one. error: httpx's, or the TimeoutError of the whole call's limit."""
    match error:
        case httpx.TimeoutException() | TimeoutError():
            code, error_type, retryable = ErrorCode.TIMEOUT, "timeout", True
            message = f"{provider} did not answer in time."
        case httpx.TransportError():
            code, error_type, retryable = ErrorCode.CONNECTION_ERROR, "connection_error", True
            message = f"{provider} could not be reached, or broke off."
        case _:
            code, error_type, retryable = ErrorCode.EXTERNAL_SERVICE_ERROR, "unexpected", False
            message = f"{provider} sent something that is no HTTP reply."
    details = _details(provider, model_id, None, error_type, retryable) | {"exception": type(error).__name__}
    return ProviderError(code, message, details, retryable=retryable)


def bad_reply(provider: Provider, model_id: str, bad: BadReply) -> ProviderError:
    """A complete reply that holds no verdict. Not retried: the same prompt went wrong once and was paid for."""
    details = _details(provider, model_id, httpx.codes.OK, "invalid_response", retryable=False) | bad.details
    return ProviderError(bad.code, f"{provider}: {bad.problem}", details)


def truncated(provider: Provider, model_id: str, stop_reason: str, max_tokens: int) -> ProviderError:
    """An answer that was cut off at its limit, and would be again."""
    details = _details(provider, model_id, httpx.codes.OK, "invalid_response", retryable=False)
    return ProviderError(
        ErrorCode.EXTERNAL_SERVICE_ERROR,
        f"{provider} stopped at {max_tokens} tokens, before the verdict was complete. Raise max_tokens_override.",
        details | {"stop_reason": stop_reason, "max_tokens": max_tokens},
    )


def invalid_blocks(provider: Provider, model_id: str, invalid: InvalidPromptBlocks) -> ProviderError:
    """A request whose blocks cannot be sent; no call was made."""
    details = _details(provider, model_id, None, "client_error", retryable=False)
    return ProviderError(
        ErrorCode.VALIDATION_ERROR, str(invalid), details | {"field": invalid.field, "stage": invalid.stage}
    )


def _details(provider: Provider, model_id: str, status: int | None, error_type: str, retryable: bool) -> dict[str, Any]:
    details: dict[str, Any] = {
        "provider": provider.value,
        "model": model_id,
        "error_type": error_type,
        "retryable": retryable,
    }
    if status is not None:
        # Two names for one number: production's consumers read either.
        details |= {"http_status": int(status), "status_code": int(status)}
    return details


def _meaning(status: int, kind: str | None, number: str | None) -> tuple[ErrorCode, str, bool]:
    """(code, error type, whether a retry can help)."""
    retryable = status in RETRYABLE_STATUSES
    if status == _TOO_MANY_REQUESTS:
        return ErrorCode.RATE_LIMIT, "rate_limit", retryable and _OUT_OF_QUOTA not in (kind, number)
    if status == _OVERLOADED or kind == "overloaded_error":
        return ErrorCode.EXTERNAL_SERVICE_ERROR, "overloaded", True
    if status in (401, 403):
        return ErrorCode.AUTHENTICATION_ERROR, "authentication", retryable
    if status == _REQUEST_TIMEOUT:
        return ErrorCode.TIMEOUT, "timeout", retryable
    if status >= 400:
        return ErrorCode.EXTERNAL_SERVICE_ERROR, "server_error" if status >= 500 else "client_error", retryable
    return ErrorCode.EXTERNAL_SERVICE_ERROR, "unknown", retryable


def _error_object(body: bytes) -> dict[str, Any]:
    """The `error` object that all four APIs put into a failed reply; empty when this one has none."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    error = reply.get("error") if isinstance(reply, dict) else None
    return error if isinstance(error, dict) else {}


def _retry_after_s(headers: Mapping[str, str], error: Mapping[str, Any]) -> float | None:
    milliseconds = _seconds(headers.get("retry-after-ms"))  # OpenAI's own, more exact
    if milliseconds is not None:
        return milliseconds / 1000
    header = headers.get("retry-after")
    if header is None:
        return _google_retry_delay_s(error)
    seconds = _seconds(header)
    return _seconds_between(headers.get("date"), header) if seconds is None else seconds


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return max(0.0, seconds) if isfinite(seconds) else None


def _seconds_between(start: str | None, end: str) -> float | None:
    """By the server's own clock, which need not agree with ours."""
    try:
        return max(0.0, (parsedate_to_datetime(end) - parsedate_to_datetime(start or "")).total_seconds())
    except (ValueError, TypeError):  # TypeError: one of the two dates names no zone
        return None


def _google_retry_delay_s(error: Mapping[str, Any]) -> float | None:
    """Google has no Retry-After; a `RetryInfo` among the error's details says `"37s"`."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str):
            return _seconds(delay.removesuffix("s"))
    return None
