"""This module limits a log to one line a minute of each kind.

While a broker was away for 15 s, one producer wrote 43 lines about it, each with another number of milliseconds.
"""

from __future__ import annotations

import logging
import time


class LogRateLimit(logging.Filter):
    """Lets a warning or an error of a client through once in so many seconds; lines that were asked for, always."""

    def __init__(self, every_s: float) -> None:
        super().__init__()
        self._every_s = every_s
        self._again_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is logged. The same: level, kind and client, as in `FAIL [cj-pipeline#producer-2]`."""
        if record.levelno < logging.WARNING:
            return True
        same = f"{record.levelno} {' '.join(record.getMessage().split()[:2])}"
        now_s = time.monotonic()
        if now_s < self._again_s.get(same, now_s):
            return False
        self._again_s[same] = now_s + self._every_s
        return True
