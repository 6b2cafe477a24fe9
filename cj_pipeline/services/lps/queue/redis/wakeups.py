"""This module wakes tasks of the Redis queue without polling: claimers, and the task that looks for expiries."""

from __future__ import annotations

import asyncio
from collections import deque


class ClaimTurns:
    """Lets as many claimers ask as there may be requests for them.

    Every reply of Redis says how many requests wait; between two replies each put adds one. So an idle queue is never
    asked, and 32 claimers do not all ask about one request.
    """

    def __init__(self) -> None:
        self._turns = 0
        self._claimers: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Wait until there may be a request for one more claimer."""
        if self._turns > 0 and not self._claimers:
            self._turns -= 1
            return
        claimer = asyncio.get_running_loop().create_future()
        self._claimers.append(claimer)
        self._wake()
        try:
            await claimer
        except asyncio.CancelledError:
            if claimer.done() and not claimer.cancelled():
                self.one_more()  # it was this one's turn; somebody else can take it
            raise

    def one_more(self) -> None:
        """One more request may wait."""
        self._turns += 1
        self._wake()

    def waiting(self, requests: int) -> None:
        """So many wait now."""
        self._turns = requests
        self._wake()

    def _wake(self) -> None:
        while self._turns > 0 and self._claimers:
            claimer = self._claimers.popleft()
            if not claimer.done():
                self._turns -= 1
                claimer.set_result(None)


class Alarm:
    """A time to wake up at that others may bring forward. Times are seconds on the loop's clock."""

    def __init__(self) -> None:
        self._asked = float("inf")
        self._sleeper: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def ring_by(self, when: float) -> None:
        """Wake the task that waits, or the next one, at this time or earlier."""
        if when < self._asked:
            self._asked = when
            if self._sleeper is not None:
                self._set(when)

    async def wait(self, until: float) -> None:
        """Until that time, or an earlier one that somebody asked for."""
        self._asked = min(self._asked, until)
        self._sleeper = asyncio.get_running_loop().create_future()
        self._set(self._asked)
        try:
            await self._sleeper
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._sleeper = self._timer = None
            self._asked = float("inf")

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._ring)

    def _ring(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)
