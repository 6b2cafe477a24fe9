"""This module puts the envelope around what a source holds of a callback, and writes its bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cj_pipeline.contracts.topics import COMPARISON_RESULT_EVENT_TYPE, LPS_SOURCE_SERVICE
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.traces.importing.source import absent, derived
from cj_pipeline.traces.provenance import FieldProvenance

# What every envelope made here has in common.
ENVELOPE_FIELDS: Mapping[str, FieldProvenance] = {
    "event_id": derived("a UUID made from correlation id and time; the envelope was not kept"),
    "event_type": derived("the same on every callback"),
    "event_timestamp": derived("equal to data.completed_at"),
    "source_service": derived("the service that sends every callback"),
    "schema_version": derived("the same on every callback"),
    "correlation_id": derived("equal to data.correlation_id"),
    "data_schema_uri": absent("null"),
    "metadata": absent("null"),
}


def envelope(data: Mapping[str, Any]) -> bytes:
    """Return the event around a callback's data as a line. data: JSON-ready, with correlation_id and completed_at."""
    event = {**_head(data["completed_at"], data["correlation_id"]), "data": data, "metadata": None}
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def enveloped(data: bytes, completed_at: str, correlation_id: str) -> bytes:
    """Return the same around data that is JSON already, whose bytes stay as they are."""
    head = json.dumps(_head(completed_at, correlation_id), ensure_ascii=False, separators=(",", ":"))
    return head.encode()[:-1] + b',"data":' + data + b',"metadata":null}'


def timestamp(moment: datetime) -> str:
    """Return ISO 8601 in UTC with microseconds; a moment without a zone is UTC, as in production's naive columns."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _head(completed_at: str, correlation_id: str) -> dict[str, Any]:
    return {
        # Not from the request's id: that may be a name, and a plain digest of a name gives it away to a guess.
        "event_id": str(keyed_uuid("import", "event", correlation_id, completed_at)),
        "event_type": COMPARISON_RESULT_EVENT_TYPE,
        "event_timestamp": completed_at,
        "source_service": LPS_SOURCE_SERVICE,
        "schema_version": 1,
        "correlation_id": correlation_id,
        "data_schema_uri": None,
    }
