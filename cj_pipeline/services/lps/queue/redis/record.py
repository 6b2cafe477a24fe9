"""This module writes an accepted request as a record for Redis, and reads it back.

A record is one line of JSON, which says what admission worked out, and after it the request as it was posted. It
never changes. Times are seconds since 1970 in it: another process has another monotonic clock.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.foundation.stored_formats import QUEUE_RECORD
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest
from cj_pipeline.services.lps.queue.trace_context import TraceContext


class Revive(Protocol):
    """Accept a request that was accepted before: `Admission.revive`. Raises ValueError for one that cannot be."""

    def __call__(
        self,
        request: ComparisonRequest,
        correlation_id: UUID,
        requested_at: datetime,
        enqueued_at: float,
        size_bytes: int,
        *,
        attempts: int = 0,
        sent_trace: TraceContext | None = None,
    ) -> QueuedRequest:
        """enqueued_at: on the loop's monotonic clock, seconds."""
        ...


class UnreadableRecord(Exception):
    """A record that is damaged or of another version. Says why without quoting it."""


class Records:
    """Writes and reads records. epoch_s: seconds from 1970 to the zero of the loop's monotonic clock."""

    def __init__(self, revive: Revive, epoch_s: float) -> None:
        self._revive = revive
        self._epoch_s = epoch_s

    def written(self, request: QueuedRequest) -> bytes:
        """What is stored of a request."""
        head = {
            "version": QUEUE_RECORD.version,
            "correlation_id": str(request.correlation_id),
            "requested_at": request.requested_at.isoformat(),
            "enqueued_at": request.enqueued_at + self._epoch_s,
            "expires_at": request.expires_at + self._epoch_s,
            "size_bytes": request.size_bytes,
            "priority": request.priority,
            "trace": None if request.sent_trace is None else [request.sent_trace.trace_id, request.sent_trace.span_id],
        }
        # What was not posted is not written: the defaults are the same in every process.
        return f"{json.dumps(head)}\n{request.request.model_dump_json(exclude_unset=True)}".encode()

    def read(self, queue_id: bytes, record: bytes, attempts: bytes, worked_s: bytes) -> QueuedRequest:
        """The request of a record. Raises UnreadableRecord."""
        try:
            head_line, _, body = record.partition(b"\n")
            head = json.loads(head_line)
            # A process that finds another version puts the record aside instead of guessing.
            if head["version"] != QUEUE_RECORD.version:
                raise UnreadableRecord("another version")
            request = self._revive(
                ComparisonRequest.model_validate_json(body),
                UUID(head["correlation_id"]),
                datetime.fromisoformat(head["requested_at"]),
                head["enqueued_at"] - self._epoch_s,
                head["size_bytes"],
                attempts=int(attempts),
                sent_trace=None if head["trace"] is None else TraceContext(*head["trace"]),
            )
            if str(request.queue_id).encode() != queue_id:
                raise UnreadableRecord("another request's")
            return replace(
                request,
                expires_at=head["expires_at"] - self._epoch_s,
                priority=head["priority"],
                worked_s=float(worked_s),
            )
        except UnreadableRecord:
            raise
        except Exception as error:
            # The type alone: what pydantic says quotes the request.
            raise UnreadableRecord(type(error).__name__) from None
