"""Logs of a served process: one JSON object a line.

Here: the format, and which ids of a request a log line carries. Not here: what is logged.

Metadata is opaque, and essay ids may hold pupils' names: only ids of requests and batches are logged.
"""

from __future__ import annotations

import logging
import logging.config
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter

from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.lps.queued_request import QueuedRequest

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


def log_as_json(level: str, stream: TextIO) -> None:
    """Send everything that this process logs to a stream, as JSON. level: a name of the logging module's."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "timestamp", "levelname": "level", "name": "logger", "message": "event"},
            static_fields={"service": LPS_SOURCE_SERVICE},
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
