"""How the door says no: status, body and headers.

Here: the refusals and the wire's two error shapes. Not here: when to refuse (service.py, app.py).

The flat shape is for requests that are not well formed, the nested one for those that are and still cannot be served;
clients of production know both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.errors import CjPipelineError

RETRY_AFTER_S = 300


class Refusal(CjPipelineError, ABC):
    """A request that is not accepted. status: HTTP; headers: what goes along."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.message = message
        self.headers = headers
        super().__init__(message)

    @abstractmethod
    def body(self, now: datetime) -> dict[str, Any]:
        """The response's JSON. now: for shapes that carry a timestamp."""


class FlatRefusal(Refusal):
    """`{error, details?, correlation_id?}`. No field ever repeats what the client sent: it may be an essay."""

    def __init__(
        self, status: int, message: str, *, details: str | None = None, correlation_id: UUID | None = None
    ) -> None:
        super().__init__(status, message)
        self.details = details
        self.correlation_id = correlation_id

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
        super().__init__(status, message, headers)
        self.code = code
        self.correlation_id = correlation_id
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


def queue_is_full(size: int, max_size: int, correlation_id: UUID) -> NestedRefusal:
    """Production answered 202 here, and its clients waited for callbacks that never came."""
    return NestedRefusal(
        503,
        ErrorCode.LLM_QUEUE_FULL,
        f"The queue is full ({size} of {max_size}). Try again later.",
        correlation_id=correlation_id,
        details={"queue_size": size, "queue_max_size": max_size, "retry_after_seconds": RETRY_AFTER_S},
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
