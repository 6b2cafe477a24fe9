"""Where accepted requests wait: in memory, by priority and then by arrival.

Here: order, capacity, depth, and which correlation ids are known. Not here: who is answered together (bundling.py),
answering (worker.py). Another store (Redis) would be a second class with these methods.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from cj_pipeline.lps.queued_request import QueuedRequest

# A client that lost a 202 repeats its POST within minutes; 65,536 answered requests are about 15 MB and, at a real
# provider's 1.6 s each, more than a day.
REMEMBERED_ANSWERS = 65_536


class QueueFull(Exception):
    """No room: `size` requests wait or are being answered, of `max_size` at most."""

    def __init__(self, size: int, max_size: int) -> None:
        self.size = size
        self.max_size = max_size
        super().__init__(f"queue holds {size} of {max_size} requests")


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many requests wait, and how many wait or are being answered."""

    queued: int
    total: int


class RequestQueue:
    """One event loop; one reader."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._heap: list[tuple[int, int, QueuedRequest]] = []
        self._arrivals = 0
        self._leads_next: QueuedRequest | None = None
        self._processing = 0
        self._something_waits = asyncio.Event()
        self._open: dict[UUID, bytes] = {}
        self._answered: OrderedDict[UUID, bytes] = OrderedDict()

    def fingerprint_of(self, correlation_id: UUID) -> bytes | None:
        """The fingerprint under which a request was put that is still known; None when it is not."""
        return self._open.get(correlation_id) or self._answered.get(correlation_id)

    def put(self, request: QueuedRequest, fingerprint: bytes) -> None:
        """Accept a request. fingerprint: what a repetition of it must match, not empty. Raises QueueFull."""
        size = self.depth().total
        if size >= self._max_size:
            raise QueueFull(size, self._max_size)
        heapq.heappush(self._heap, (-request.priority, self._arrivals, request))
        self._arrivals += 1
        self._open[request.correlation_id] = fingerprint
        self._something_waits.set()

    async def wait_for_item(self) -> None:
        """Return once `take` has something to give."""
        await self._something_waits.wait()

    def take(self) -> QueuedRequest:
        """The request whose turn it is; it counts as being answered until `finish`. IndexError when none waits."""
        if self._leads_next is not None:
            request, self._leads_next = self._leads_next, None
        else:
            request = heapq.heappop(self._heap)[2]
        self._processing += 1
        if not self._heap:
            self._something_waits.clear()
        return request

    def waiting(self) -> Iterator[QueuedRequest]:
        """Take one request after another, as long as the caller asks and one waits."""
        while self._heap or self._leads_next is not None:
            yield self.take()

    def put_back(self, request: QueuedRequest) -> None:
        """Return a request that was taken and does not fit; it is the next one taken, whatever arrives meanwhile."""
        self._leads_next = request
        self._processing -= 1
        self._something_waits.set()

    def finish(self, request: QueuedRequest, *, answered: bool) -> None:
        """A taken request is over. Unless it was answered it is forgotten, so that posting it again queues it again."""
        self._processing -= 1
        fingerprint = self._open.pop(request.correlation_id)
        if answered:
            self._answered[request.correlation_id] = fingerprint
            if len(self._answered) > REMEMBERED_ANSWERS:
                self._answered.popitem(last=False)

    def depth(self) -> QueueDepth:
        """Figures for metrics and refusals."""
        queued = len(self._heap) + (self._leads_next is not None)
        return QueueDepth(queued=queued, total=queued + self._processing)
