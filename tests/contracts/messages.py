"""One good callback as it comes off the bus, and the ways of changing it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

ID = "6f0e1c56-52b7-4f10-9d4a-0b3b5e4b8a11"

ERROR_DETAIL: dict[str, Any] = {
    "error_code": "RATE_LIMIT",
    "message": "slow down",
    "correlation_id": ID,
    "timestamp": "2025-11-01T12:00:00Z",
    "service": "llm_provider_service",
    "operation": "compare",
}

WINNER: dict[str, Any] = {
    "event_id": ID,
    "event_type": "LLMComparisonResultV1",
    "event_timestamp": "2025-11-01T12:00:02Z",
    "source_service": "llm_provider_service",
    "schema_version": 1,
    "correlation_id": ID,
    "data": {
        "request_id": "queue-1",
        "correlation_id": ID,
        "winner": "Essay A",
        "justification": "clearer",
        "confidence": 4.0,
        "provider": "openai",
        "model": "gpt-5.1",
        "response_time_ms": 1600,
        "token_usage": {"prompt_tokens": 1200, "completion_tokens": 40, "total_tokens": 1240},
        "cost_estimate": 0.0021,
        "requested_at": "2025-11-01T12:00:00Z",
        "completed_at": "2025-11-01T12:00:02Z",
        "request_metadata": {"essay_a_id": "a", "essay_b_id": "b"},
    },
}

DROP = object()


def changed(data: Mapping[str, Any] | None = None, **envelope: Any) -> bytes:
    """The good message with keys of its data or envelope set; DROP takes one out."""
    message = deepcopy(WINNER)
    for target, values in ((message["data"], data or {}), (message, envelope)):
        for key, value in values.items():
            target[key] = value
            if value is DROP:
                del target[key]
    return json.dumps(message).encode()


def error() -> bytes:
    """The same comparison, failed."""
    return changed({"winner": DROP, "justification": DROP, "confidence": DROP, "error_detail": ERROR_DETAIL})
