"""This module writes the log of a run: one JSON event a line, each with the ids of the run, in every mode."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from typing import Any

from cj_pipeline.eng5.facts import RunIdentity
from cj_pipeline.eng5.options import RunnerOptions
from cj_pipeline.foundation.clock import utc_now

SERVICE = "eng5-np-runner"
MOST_BYTES, MOST_FILES = 100 * 2**20, 10


class EventLog:
    """Writes events with the fields that all events of a run have."""

    def __init__(self, logger: logging.Logger, bound: dict[str, Any]) -> None:
        self._logger = logger
        self._bound = bound

    def event(self, name: str, *, level: int = logging.INFO, **fields: Any) -> None:
        """Write one event."""
        line = {
            "timestamp": utc_now().isoformat().replace("+00:00", "Z"),
            "level": logging.getLevelName(level).lower(),
            "event": name,
            **self._bound,
            **fields,
        }
        self._logger.log(level, json.dumps(line, ensure_ascii=False, default=str))


@contextmanager
def event_log(options: RunnerOptions, identity: RunIdentity) -> Iterator[EventLog]:
    """Open `logs/<mode>.jsonl` below the output folder; with `verbose`, standard error shows the same lines."""
    folder = options.output_dir / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    logger = logging.Logger(SERVICE, logging.DEBUG)  # of its own: nothing of it reaches the root's handlers
    path = folder / f"{options.mode.value}.jsonl"
    handlers: list[logging.Handler] = [
        RotatingFileHandler(path, maxBytes=MOST_BYTES, backupCount=MOST_FILES - 1, encoding="utf-8")
    ]
    if options.verbose:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        logger.addHandler(handler)
    bound = {
        "service": SERVICE,
        "correlation_id": str(identity.correlation_id),
        "batch_id": options.batch_id,
        "batch_uuid": str(identity.batch_uuid),
        "runner_mode": options.mode.value,
    }
    try:
        yield EventLog(logger, bound)
    finally:
        for handler in handlers:
            handler.close()
