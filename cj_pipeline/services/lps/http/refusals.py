"""This module holds the refusals of the HTTP surface: status, body and headers.

The flat shape is for requests that are not well formed, the nested one for those that are and still cannot be served;
clients of production know both.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.services.lps.http.answers import Answer, ErrorBody, FlatError, NestedError

_log = logging.getLogger(__name__)

RETRY_AFTER_S = 300
STORE_RETRY_AFTER_S = 5


class Refusal(CjPipelineError, ABC):
    """A request that is not accepted. status: HTTP; headers: sent with it."""

    def __init__(
        self, status: int, message: str, correlation_id: UUID | None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.message = message
        self.correlation_id = correlation_id
        self.headers = headers
        super().__init__(message)

    @abstractmethod
    def answer(self, now: datetime) -> Answer:
        """Return the response's body. now: for shapes that carry a timestamp."""


class FlatRefusal(Refusal):
    """`{error, details?, correlation_id?}`. No field ever repeats what the client sent: it may be an essay."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        details: str | None = None,
        correlation_id: UUID | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, correlation_id, headers)
        self.details = details

    def answer(self, now: datetime) -> Answer:
        """Return the flat shape; it has no timestamp."""
        optional = {"details": self.details, "correlation_id": self.correlation_id}
        given = {name: value for name, value in optional.items() if value is not None}
        return FlatError.model_validate({"error": self.message, **given})


class NestedRefusal(Refusal):
    """`{error: {code, message, correlation_id, service, timestamp, details}}`."""

    def __init__(
        self,
        status: int,
        code: ErrorCode,
        message: str,
        *,
        correlation_id: UUID | None,
        details: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, correlation_id, headers)
        self.code = code
        self.details = details

    def answer(self, now: datetime) -> Answer:
        """Return the nested shape."""
        return NestedError(
            error=ErrorBody(
                code=self.code,
                message=self.message,
                correlation_id=self.correlation_id,
                service=LPS_SOURCE_SERVICE,
                timestamp=now,
                details=dict(self.details),
            )
        )


def queue_is_full(size: int, max_size: int, reason: str, correlation_id: UUID) -> NestedRefusal:
    """Return the refusal of a full queue. reason: size or memory.

    Production answered 202 here, and its clients waited for callbacks that never came.
    """
    return NestedRefusal(
        503,
        ErrorCode.LLM_QUEUE_FULL,
        f"The queue is full ({size} of {max_size} requests; the limit is its {reason}). Try again later.",
        correlation_id=correlation_id,
        details={
            "queue_size": size,
            "queue_max_size": max_size,
            "limit": reason,
            "retry_after_seconds": RETRY_AFTER_S,
        },
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def store_is_away(correlation_id: UUID | None) -> NestedRefusal:
    """Return the refusal while the queue's store is away; in memory the request would be lost with the process."""
    return NestedRefusal(
        503,
        ErrorCode.SERVICE_UNAVAILABLE,
        "The queue's store cannot be reached. Try again later.",
        correlation_id=correlation_id,
        details={"retry_after_seconds": STORE_RETRY_AFTER_S},
        headers={"Retry-After": str(STORE_RETRY_AFTER_S)},
    )


def refusal_of(error: Exception, route: str) -> Refusal:
    """Return the answer to an exception: a refusal is its own, anything else is a 500 and is logged.

    By its type alone: an exception's text, and so its traceback, may quote the essay that caused it.
    """
    if isinstance(error, Refusal):
        return error
    _log.error("%s broke: %s", route, type(error).__name__)
    return FlatRefusal(500, "Internal server error")


def not_running(correlation_id: UUID | None) -> FlatRefusal:
    """Return the refusal of a process that shuts down; the one that takes its place is there within seconds."""
    return FlatRefusal(
        503,
        "Service is not running",
        correlation_id=correlation_id,
        headers={"Retry-After": str(STORE_RETRY_AFTER_S)},
    )


def body_too_large(most: int) -> FlatRefusal:
    """Return the refusal of a body with more bytes than one request may have."""
    return FlatRefusal(413, "Request too large", details=f"A request may have {most} bytes.")
