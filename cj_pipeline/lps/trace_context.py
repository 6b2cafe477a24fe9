"""Trace ids: the name under which a request can be found in every log, event and response.

Here: W3C trace context, read from a request or derived from an id. Not here: spans, exporters; a deployment that has a
tracer sends `traceparent`, and what it sent is what comes back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

# Version ff and ids of zeros alone are not valid.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """trace_id: 32 hex digits; span_id: 16."""

    trace_id: str
    span_id: str

    def headers(self) -> dict[str, str]:
        """As events carry it."""
        return {"traceparent": f"00-{self.trace_id}-{self.span_id}-01"}


def trace_context(identity: UUID, traceparent: bytes | None = None) -> TraceContext:
    """The caller's trace if it sent one (https://www.w3.org/TR/trace-context/), else one that follows from an id."""
    found = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    if found is not None:
        return TraceContext(found[1].decode(), found[2].decode())
    digits = identity.hex
    return TraceContext(digits, digits[16:])
