"""This module says what became of the requests of a job: an answer, or a failure and whether a retry can help."""

from __future__ import annotations

from datetime import timedelta

import httpx

from cj_pipeline.contracts.answer import Failure, ProviderAnswer, ProviderError
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.services.lps.providers.apis import failures
from cj_pipeline.services.lps.providers.batches.job import BatchRefused, End, Job, Result, Stage, State
from cj_pipeline.services.lps.providers.http_provider import HttpProvider
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

Outcome = ProviderAnswer | Failure

NOT_FOUND = 404


def outcome(provider: HttpProvider, job: Job, request: QueuedRequest, result: Result, took_s: float) -> Outcome:
    """Read one result. took_s: how long the job took."""
    try:
        if result.end is End.ANSWERED:
            reply = httpx.Response(result.status, content=result.body)
            return provider.answer_in_batch(request, job.structure, reply, took_s=took_s, batch_id=job.remote_id or "")
    except ProviderError as error:
        return error.failure
    details = {
        "provider": job.provider.value,
        "model": job.model,
        "batch_id": job.remote_id,
        "batch_end": result.end.value,
    }
    match result.end:
        case End.EXPIRED:
            message = "The batch endpoint did not get to the request within its time."
            return Failure(ErrorCode.TIMEOUT, message, details | {"error_type": "timeout"}, retryable=True)
        case End.CANCELLED:
            message = "The job was cancelled at the provider before the request's turn came."
            return Failure(ErrorCode.EXTERNAL_SERVICE_ERROR, message, details | {"error_type": "cancelled"})
        case _:
            message = "The results of the job have no answer to the request."
            return Failure(ErrorCode.PROCESSING_ERROR, message, details | {"error_type": "invalid_response"})


def unworked(job: Job, state: State, longest: timedelta) -> Failure:
    """Say why none of a job's requests was answered."""
    details = {"provider": job.provider.value, "model": job.model, "batch_id": job.remote_id}
    if state.stage is Stage.RUNNING:
        message = f"The job did not end within {longest.total_seconds() / 3600:g} hours."
        return Failure(ErrorCode.TIMEOUT, message, details | {"error_type": "timeout"})
    full = state.code == "token_limit_exceeded"  # of all jobs that wait; it passes
    return Failure(
        ErrorCode.RATE_LIMIT if full else ErrorCode.EXTERNAL_SERVICE_ERROR,
        f"The provider refused the job as a whole ({state.code or 'without a code'}).",
        details | {"error_type": "rate_limit" if full else "client_error", "provider_error_code": state.code},
        retryable=full,
        retry_after_s=600.0 if full else None,
    )


def given_up(job: Job, what: str, patience: timedelta) -> ProviderError:
    """Say that the provider did not answer about a job."""
    return ProviderError(
        ErrorCode.CONNECTION_ERROR,
        f"The job could not be {what} for {patience.total_seconds() / 3600:g} hours.",
        {
            "provider": job.provider.value,
            "model": job.model,
            "batch_id": job.remote_id,
            "error_type": "connection_error",
        },
    )


def not_submitted(job: Job, error: Exception) -> Failure:
    """Say why a job was not taken. error: what submitting it raised."""
    if not isinstance(error, BatchRefused):
        failure: Failure = failures.connection_failure(job.provider, job.model, error).failure
        return failure
    if error.status == NOT_FOUND:
        return Failure(
            ErrorCode.CONFIGURATION_ERROR,
            f"There is no batch endpoint at the base URL of {job.provider}. Set BATCH_API_ENDPOINT=service.",
            {"provider": job.provider.value, "error_type": "client_error", "http_status": error.status},
        )
    refused: Failure = failures.http_failure(job.provider, job.model, error.status, error.headers, error.body).failure
    return refused
