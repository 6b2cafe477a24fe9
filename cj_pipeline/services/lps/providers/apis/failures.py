"""This module says what a failed call means: its code and reason, and whether another attempt can help.

The details are flat and name the provider, so that a consumer can tell whose failure it is. What the API said in prose
is left out of them: validation messages quote the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

from cj_pipeline.contracts.answer import RETRYABLE_CODES, ProviderError
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import EXPLANATIONS, REASON, Reason
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.services.lps.providers.apis.failure_table import meaning_of
from cj_pipeline.services.lps.providers.apis.retry_after import retry_after_s
from cj_pipeline.services.lps.providers.apis.verdict import BadReply
from cj_pipeline.services.lps.providers.prompts import InvalidPromptBlocks
from cj_pipeline.services.lps.providers.replies.errors import error_in_bytes

# A reply that holds nothing of the model's: nothing was answered, and the same request can be answered later.
_NOTHING_ANSWERED = frozenset({Reason.EMPTY_BODY, Reason.WEB_PAGE, Reason.NOT_JSON, Reason.GENERATION_FAILED})


def http_failure(
    provider: Provider,
    model_id: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime | None = None,
) -> ProviderError:
    """Return the failure of a reply whose status is not 200, or that has an error in its body.

    now: our own clock, aware; the machine's unless given.
    """
    words = error_in_bytes(body)
    meaning = meaning_of(status, words)
    wait_s = retry_after_s(headers, words, meaning.reason, now or utc_now())
    retryable = _retryable(meaning.retryable, meaning.code, headers)
    if meaning.reason is Reason.DAILY_LIMIT and wait_s is None:
        retryable = False  # some hours from now, and nobody says when
    details = _details(provider, model_id, status, meaning.error_type, meaning.reason, retryable)
    if words.number is not None:
        details["provider_error_code"] = words.number
    if words.kind is not None:
        details["provider_error_type"] = words.kind
    where = " and an error in the body" if status < 300 else ""
    return ProviderError(
        meaning.code,
        f"{provider} answered with HTTP status {status}{where} ({meaning.reason}).",
        details,
        retryable=retryable,
        retry_after_s=wait_s if retryable else None,
    )


def connection_failure(provider: Provider, model_id: str, error: Exception) -> ProviderError:
    """No reply, or half of one. error: httpx's, or the TimeoutError of the whole call's limit."""
    match error:
        case httpx.TimeoutException() | TimeoutError():
            code, error_type, reason, retryable = ErrorCode.TIMEOUT, "timeout", Reason.TIMEOUT, True
            message = f"{provider} did not answer in time."
        case httpx.ConnectError() | httpx.ProxyError():
            code, error_type, reason, retryable = (
                *(ErrorCode.CONNECTION_ERROR, "connection_error"),
                *(Reason.UNREACHABLE, True),
            )
            message = f"{provider} could not be reached."
        case httpx.TransportError():
            code, error_type, reason, retryable = (
                *(ErrorCode.CONNECTION_ERROR, "connection_error"),
                *(Reason.BROKEN_OFF, True),
            )
            message = f"{provider} broke off."
        case _:
            code, error_type, reason, retryable = (
                *(ErrorCode.EXTERNAL_SERVICE_ERROR, "unexpected"),
                *(Reason.NOT_JSON, False),
            )
            message = f"{provider} sent something that is no HTTP reply."
    details = _details(provider, model_id, None, error_type, reason, retryable) | {"exception": type(error).__name__}
    return ProviderError(code, message, details, retryable=retryable)


def bad_reply(
    provider: Provider,
    model_id: str,
    bad: BadReply,
    headers: Mapping[str, str] | None = None,
    status: int = httpx.codes.OK,
) -> ProviderError:
    """Return the failure of a complete reply that holds no verdict.

    It is tried again only where nothing was answered at all; whether the model is asked once more is not said here.
    """
    retryable = _retryable(bad.reason in _NOTHING_ANSWERED, bad.code, headers or {})
    details = _details(provider, model_id, status, "invalid_response", bad.reason, retryable) | bad.details
    return ProviderError(bad.code, f"{provider}: {bad.problem}", details, retryable=retryable)


def too_long(provider: Provider, model_id: str) -> ProviderError:
    """Return the failure of a reply that goes on beyond any answer. It was not read, and the next would not be."""
    details = _details(provider, model_id, None, "invalid_response", Reason.TOO_LONG, retryable=False)
    return ProviderError(EXPLANATIONS[Reason.TOO_LONG].codes[0], f"{provider} sent more than any answer is.", details)


def truncated(provider: Provider, model_id: str, stop_reason: str, max_tokens: int) -> ProviderError:
    """An answer that was cut off at its limit."""
    details = _details(provider, model_id, httpx.codes.OK, "invalid_response", Reason.TRUNCATED, retryable=False)
    return ProviderError(
        EXPLANATIONS[Reason.TRUNCATED].codes[0],
        f"{provider} stopped at {max_tokens} tokens, before the verdict was complete. Raise max_tokens_override.",
        details | {"stop_reason": stop_reason, "max_tokens": max_tokens},
    )


def invalid_blocks(provider: Provider, model_id: str, invalid: InvalidPromptBlocks) -> ProviderError:
    """A request whose blocks cannot be sent; no call was made."""
    details = _details(provider, model_id, None, "client_error", Reason.INVALID_BLOCKS, retryable=False)
    return ProviderError(
        ErrorCode.VALIDATION_ERROR, str(invalid), details | {"field": invalid.field, "stage": invalid.stage}
    )


def _details(
    provider: Provider, model_id: str, status: int | None, error_type: str, reason: Reason, retryable: bool
) -> dict[str, Any]:
    details: dict[str, Any] = {
        REASON: reason.value,
        "provider": provider.value,
        "model": model_id,
        "error_type": error_type,
        "retryable": retryable,
    }
    if status is not None:
        # Two names for one number: production's consumers read either.
        details |= {"http_status": int(status), "status_code": int(status)}
    return details


def _retryable(sorted_so: bool, code: ErrorCode, headers: Mapping[str, str]) -> bool:
    """Whether a retry can help; the provider knows better where it says so (OpenAI and Anthropic do)."""
    said = headers.get("x-should-retry", "").strip().lower()
    if said == "false":
        return False
    return sorted_so or (said == "true" and code in RETRYABLE_CODES)
