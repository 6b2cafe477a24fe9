"""This module reads a W3C trace context from a request, or derives one from an id.

It exports no spans: a deployment that has a tracer sends `traceparent`, which goes along with the request. Logs name
requests by their own ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

# Version ff and ids of zeros alone are not valid.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """trace_id: 32 hex digits; span_id: 16."""

    trace_id: str
    span_id: str

    def headers(self) -> dict[str, str]:
        """As events carry it."""
        return {"traceparent": f"00-{self.trace_id}-{self.span_id}-01"}


def sent_trace(traceparent: bytes | None) -> TraceContext | None:
    """The trace of a `traceparent` header (https://www.w3.org/TR/trace-context/); None without a valid one."""
    if traceparent is None:
        return None
    found = _TRACEPARENT.fullmatch(traceparent.decode("latin-1"))
    return None if found is None else TraceContext(found[1], found[2])


def trace_of(identity: UUID) -> TraceContext:
    """The trace of what came without one; it follows from an id."""
    digits = identity.hex
    return TraceContext(digits, digits[16:])


def trace_context(identity: UUID, traceparent: bytes | None = None) -> TraceContext:
    """The trace that was sent, else the one that follows from an id."""
    return sent_trace(traceparent) or trace_of(identity)
