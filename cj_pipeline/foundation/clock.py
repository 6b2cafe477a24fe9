"""This module reads the time of the running event loop and shows it as UTC.

On an ordinary loop this is real time; on a virtual-time loop (runs/virtual_time.py) it is simulated time, and code that
asks only this clock cannot tell the difference.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class LoopClock:
    """UTC as seen from a running event loop."""

    def __init__(self, origin: datetime | None = None) -> None:
        """Start the clock. origin: what it shows at this moment (aware); None is the machine's own time."""
        self._origin = origin if origin is not None else datetime.now(UTC)
        # Kept, because asking for the running loop asks the system for the process id, each time.
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()

    def monotonic(self) -> float:
        """Return seconds, for measuring intervals."""
        return self._loop.time()

    def now(self) -> datetime:
        """Return the instant, aware, to the microsecond."""
        return self._origin + timedelta(seconds=round(self.monotonic() - self._started, 6))


def utc_now() -> datetime:
    """Return the machine's own time, aware. Code that runs on a loop asks its LoopClock instead."""
    return datetime.now(UTC)
