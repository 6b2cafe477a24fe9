"""This module turns an outcome into the bytes of its callback."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cj_pipeline.contracts.answer import Failure, ProviderAnswer
from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_CHARS, CallbackEvent, LLMComparisonResultV1, TokenUsage
from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.contracts.topics import COMPARISON_RESULT_EVENT_TYPE, LPS_SOURCE_SERVICE
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.services.lps.queue.queue import Answer
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

Outcome = ProviderAnswer | Failure

# An error names no model on the wire, even where the request did.
_NO_MODEL = "unknown"


def answer_of(
    request: QueuedRequest,
    outcome: Outcome,
    queue_processing_mode: QueueProcessingMode,
    completed_at: datetime,
    result: str,
) -> Answer:
    """The callback as the outbox keeps it. result: success, failure or expired. Raises as `callback_bytes` does."""
    return Answer(
        queue_id=request.queue_id,
        correlation_id=request.correlation_id,
        topic=request.request.callback_topic,
        key=request.batch_key().encode(),
        value=callback_bytes(request, outcome, queue_processing_mode, completed_at),
        result=result,
    )


def callback_bytes(
    request: QueuedRequest, outcome: Outcome, queue_processing_mode: QueueProcessingMode, completed_at: datetime
) -> bytes:
    """One callback as JSON, every field present.

    The event id follows from the correlation id: a consumer can tell a repeated callback from a second one.
    Raises pydantic.ValidationError when a provider's answer does not fit the wire.
    """
    event = CallbackEvent(
        event_id=keyed_uuid("lps", "event_id", str(request.correlation_id)),
        event_type=COMPARISON_RESULT_EVENT_TYPE,
        event_timestamp=completed_at,
        source_service=LPS_SOURCE_SERVICE,
        correlation_id=request.correlation_id,
        data=_result(request, outcome, _metadata(request, outcome, queue_processing_mode), completed_at),
    )
    return event.model_dump_json().encode()


def _result(
    request: QueuedRequest, outcome: Outcome, metadata: dict[str, Any], completed_at: datetime
) -> LLMComparisonResultV1:
    # Production never fills it. Here it is the client's own trace, where it sent one; one of ours would name nothing.
    trace_id = None if request.sent_trace is None else request.sent_trace.trace_id
    if isinstance(outcome, Failure):
        return LLMComparisonResultV1(
            request_id=str(request.queue_id),
            correlation_id=request.correlation_id,
            error_detail=ErrorDetail(
                error_code=outcome.code,
                message=outcome.message,
                correlation_id=request.correlation_id,
                timestamp=completed_at,
                service=LPS_SOURCE_SERVICE,
                operation="process_comparison",
                details=dict(outcome.details),
            ),
            provider=request.provider,
            model=_NO_MODEL,
            response_time_ms=0,
            token_usage=TokenUsage(),
            cost_estimate=0.0,
            requested_at=request.requested_at,
            completed_at=completed_at,
            trace_id=trace_id,
            request_metadata=metadata,
        )
    return LLMComparisonResultV1(
        request_id=str(request.queue_id),
        correlation_id=request.correlation_id,
        winner=outcome.winner,
        # A justification of 501 characters once broke the model downstream, and its callback was never sent.
        justification=outcome.justification[:MAX_JUSTIFICATION_CHARS],
        confidence=outcome.confidence,
        provider=request.provider,
        model=outcome.model,
        response_time_ms=outcome.response_time_ms,
        token_usage=outcome.token_usage,
        cost_estimate=outcome.cost_estimate,
        requested_at=request.requested_at,
        completed_at=completed_at,
        trace_id=trace_id,
        request_metadata=metadata,
    )


def _metadata(request: QueuedRequest, outcome: Outcome, queue_processing_mode: QueueProcessingMode) -> dict[str, Any]:
    """The request's metadata, echoed, with what the service knows about how it was answered."""
    metadata = dict(request.request.metadata)
    # Where the mock stands in for another provider, the name of the other: callbacks look as they will without it.
    metadata["resolved_provider"] = request.provider.value
    metadata["queue_processing_mode"] = queue_processing_mode.value
    if request.overrides.model_override is not None:
        metadata["resolved_model"] = request.overrides.model_override
    metadata.setdefault("prompt_sha256", request.prompt_sha256)
    if isinstance(outcome, ProviderAnswer):
        for key, value in outcome.metadata.items():
            metadata.setdefault(key, value)
    return metadata
