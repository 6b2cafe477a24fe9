"""This module writes the logs of a served process: one JSON object a line."""

from __future__ import annotations

import logging
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter


def log_as_json(level: str, stream: TextIO, service: str) -> None:
    """Send everything that this process logs to a stream, as JSON.

    level: a name of the logging module's, in either case. service: a field of every line.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "timestamp", "levelname": "level", "name": "logger", "message": "event"},
            static_fields={"service": service},
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # It tells the address of every call at INFO, one for each comparison.
    logging.getLogger("httpx").setLevel(max(logging.WARNING, root.level))
