"""The one clock: the running event loop's, shown as UTC.

Here: reading the loop's time as a wall-clock instant. Not here: making it jump (runs/virtual_time.py).

On an ordinary loop this is real time; on a virtual-time loop it is simulated time. Code that asks only this clock
cannot tell which, and that is the point.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class LoopClock:
    """UTC as seen from a running event loop."""

    def __init__(self, origin: datetime | None = None) -> None:
        """origin: what the clock shows at this moment (aware); None is the machine's own time."""
        self._origin = origin if origin is not None else datetime.now(UTC)
        # Kept, because asking for the running loop asks the system for the process id, each time.
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()

    def monotonic(self) -> float:
        """Seconds, for measuring intervals."""
        return self._loop.time()

    def now(self) -> datetime:
        """The instant, aware, to the microsecond."""
        return self._origin + timedelta(seconds=round(self.monotonic() - self._started, 6))


def utc_now() -> datetime:
    """The machine's own time, aware. For code that runs on no loop; what runs on one asks its LoopClock."""
    return datetime.now(UTC)
