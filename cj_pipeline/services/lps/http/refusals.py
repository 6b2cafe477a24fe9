"""How the door says no: status, body and headers.

Here: the refusals and the wire's two error shapes. Not here: when to refuse (service.py, app.py).

The flat shape is for requests that are not well formed, the nested one for those that are and still cannot be served;
clients of production know both.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.foundation.errors import CjPipelineError

_log = logging.getLogger(__name__)

RETRY_AFTER_S = 300
STORE_RETRY_AFTER_S = 5


class Refusal(CjPipelineError, ABC):
    """A request that is not accepted. status: HTTP; headers: what goes along."""

    def __init__(
        self, status: int, message: str, correlation_id: UUID | None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.message = message
        self.correlation_id = correlation_id
        self.headers = headers
        super().__init__(message)

    def json(self, now: datetime) -> bytes:
        """The response's body. now: for shapes that carry a timestamp."""
        return json.dumps(self.body(now)).encode()

    @abstractmethod
    def body(self, now: datetime) -> dict[str, Any]:
        """The response's JSON. now: for shapes that carry a timestamp."""


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

    def body(self, now: datetime) -> dict[str, Any]:
        """The flat shape; it has no timestamp."""
        body: dict[str, Any] = {"error": self.message}
        if self.details is not None:
            body["details"] = self.details
        if self.correlation_id is not None:
            body["correlation_id"] = str(self.correlation_id)
        return body


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

    def body(self, now: datetime) -> dict[str, Any]:
        """The nested shape."""
        return {
            "error": {
                "code": self.code.value,
                "message": self.message,
                "correlation_id": None if self.correlation_id is None else str(self.correlation_id),
                "service": LPS_SOURCE_SERVICE,
                "timestamp": now.isoformat().replace("+00:00", "Z"),
                "details": dict(self.details),
            }
        }


def queue_is_full(size: int, max_size: int, reason: str, correlation_id: UUID) -> NestedRefusal:
    """Production answered 202 here, and its clients waited for callbacks that never came. reason: size or memory."""
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
    """The queue's store cannot be reached. Taking the request into memory instead would lose it with the process."""
    return NestedRefusal(
        503,
        ErrorCode.SERVICE_UNAVAILABLE,
        "The queue's store cannot be reached. Try again later.",
        correlation_id=correlation_id,
        details={"retry_after_seconds": STORE_RETRY_AFTER_S},
        headers={"Retry-After": str(STORE_RETRY_AFTER_S)},
    )


def refusal_of(error: Exception, route: str) -> Refusal:
    """What a client is told of an exception: a refusal is its own answer, anything else a 500, and logged.

    By its type alone: an exception's text, and so its traceback, may quote the essay that caused it.
    """
    if isinstance(error, Refusal):
        return error
    _log.error("%s broke: %s", route, type(error).__name__)
    return FlatRefusal(500, "Internal server error")


def not_running(correlation_id: UUID | None) -> FlatRefusal:
    """The process is shutting down; the one that takes its place is there within seconds."""
    return FlatRefusal(
        503,
        "Service is not running",
        correlation_id=correlation_id,
        headers={"Retry-After": str(STORE_RETRY_AFTER_S)},
    )


def body_too_large(most: int) -> FlatRefusal:
    """More bytes than one request may have."""
    return FlatRefusal(413, "Request too large", details=f"A request may have {most} bytes.")
