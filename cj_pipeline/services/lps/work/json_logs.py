"""This module chooses the ids of a request that its log lines carry.

Metadata is opaque, and essay ids may hold pupils' names: only ids of requests and batches are logged.
"""

from __future__ import annotations

from cj_pipeline.contracts.answer import Failure
from cj_pipeline.contracts.reasons import REASON
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

_BATCH_IDS = ("bos_batch_id", "cj_batch_id", "cj_llm_batching_mode", "comparison_iteration")


def ids_of(request: QueuedRequest) -> dict[str, str]:
    """What a log line about a request says of it, for `extra=`."""
    ids = {
        "correlation_id": str(request.correlation_id),
        "queue_id": str(request.queue_id),
        "provider": request.provider.value,
    }
    metadata = request.request.metadata
    return ids | {key: str(metadata[key])[:64] for key in _BATCH_IDS if metadata.get(key) is not None}


def about_failure(request: QueuedRequest, failure: Failure) -> dict[str, str]:
    """What a log line about a failed request says of it, for `extra=`: its ids, the error code, and the reason."""
    reason = failure.details.get(REASON)
    why = {"error_code": failure.code.value} | ({} if reason is None else {"reason": str(reason)})
    return ids_of(request) | why
