"""This module says what became of the requests of a job: an answer, or a failure and whether a retry can help."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx

from cj_pipeline.contracts.answer import Failure, ProviderAnswer, ProviderError
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import REASON, Reason
from cj_pipeline.services.lps.providers.apis import failures
from cj_pipeline.services.lps.providers.batches.job import BatchRefused, End, Job, Result, Stage, State
from cj_pipeline.services.lps.providers.http_provider import HttpProvider
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

Outcome = ProviderAnswer | Failure

NOT_FOUND = 404

# Until other jobs have ended, so that there is room for more tokens.
_FULL_S = 600.0


def outcome(provider: HttpProvider, job: Job, request: QueuedRequest, result: Result, took_s: float) -> Outcome:
    """Read one result. took_s: how long the job took."""
    try:
        if result.end is End.ANSWERED:
            reply = httpx.Response(result.status, content=result.body)
            return provider.answer_in_batch(request, job.structure, reply, took_s=took_s, batch_id=job.remote_id or "")
    except ProviderError as error:
        return error.failure
    match result.end:
        case End.EXPIRED:
            message = "The batch endpoint did not get to the request within its time."
            details = _details(job, Reason.TIMEOUT, "timeout", retryable=True)
            return Failure(ErrorCode.TIMEOUT, message, details, retryable=True)
        case End.CANCELLED:
            message = "The job was cancelled at the provider before the request's turn came."
            return Failure(ErrorCode.EXTERNAL_SERVICE_ERROR, message, _details(job, Reason.CANCELLED, "cancelled"))
        case _:
            message = "The results of the job have no answer to the request."
            return Failure(ErrorCode.PROCESSING_ERROR, message, _details(job, Reason.MISSING, "invalid_response"))


def unworked(job: Job, state: State, longest: timedelta) -> Failure:
    """Say why none of a job's requests was answered."""
    if state.stage is Stage.RUNNING:
        message = f"The job did not end within {longest.total_seconds() / 3600:g} hours."
        return Failure(ErrorCode.TIMEOUT, message, _details(job, Reason.TIMEOUT, "timeout"))
    full = state.code == "token_limit_exceeded"  # of all jobs that wait; it passes
    reason, kind = (Reason.RATE_LIMITED, "rate_limit") if full else (Reason.BAD_REQUEST, "client_error")
    details = _details(job, reason, kind, retryable=full)
    return Failure(
        ErrorCode.RATE_LIMIT if full else ErrorCode.EXTERNAL_SERVICE_ERROR,
        f"The provider refused the job as a whole ({state.code or 'without a code'}).",
        details if state.code is None else details | {"provider_error_code": state.code},
        retryable=full,
        retry_after_s=_FULL_S if full else None,
    )


def given_up(job: Job, what: str, patience: timedelta) -> ProviderError:
    """Say that the provider did not answer about a job."""
    return ProviderError(
        ErrorCode.CONNECTION_ERROR,
        f"The job could not be {what} for {patience.total_seconds() / 3600:g} hours.",
        _details(job, Reason.UNREACHABLE, "connection_error"),
    )


def not_submitted(job: Job, error: Exception) -> Failure:
    """Say why a job was not taken. error: what submitting it raised."""
    if not isinstance(error, BatchRefused):
        return failures.connection_failure(job.provider, job.model, error).failure
    refused = failures.http_failure(job.provider, job.model, error.status, error.headers, error.body).failure
    if error.status != NOT_FOUND:
        return refused
    message = f"There is no batch endpoint at the base URL of {job.provider}. Set BATCH_API_ENDPOINT=service."
    return replace(refused, message=message)


def _details(job: Job, reason: Reason, error_type: str, *, retryable: bool = False) -> dict[str, Any]:
    details: dict[str, Any] = {
        REASON: reason.value,
        "provider": job.provider.value,
        "model": job.model,
        "error_type": error_type,
        "retryable": retryable,
    }
    return details if job.remote_id is None else details | {"provider_batch_id": job.remote_id}
