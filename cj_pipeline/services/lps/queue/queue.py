"""This module holds the protocol of the queue, in which accepted requests and their callbacks wait.

The life of a request: put (queued) -> claimed (processing) -> answered: its callback lies in the outbox -> published.
A claim is a lease. One that runs out, because its holder died or hangs, goes back to its place in the order with one
attempt more; `attempts` fences the old holder off, whose answer then counts for nothing. Priority first, then arrival;
a request that is tried again keeps its arrival.

All times are seconds on the loop's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from cj_pipeline.contracts.enums import QueueStatus
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

# A client that lost a 202 repeats its POST within minutes; 65,536 answered requests are about 15 MB and, at a real
# provider's 1.6 s each, more than a day.
REMEMBERED_ANSWERS = 65_536
# Callbacks kept for GET results, about 1.2 kB each.
KEPT_CALLBACKS = 10_000
# One write of so many messages to the bus is as good as one of all, and leaves the loop to others in between.
OUTGOING_BATCH = 256

STATUS_OF_RESULT = {
    "success": QueueStatus.COMPLETED,
    "failure": QueueStatus.FAILED,
    "expired": QueueStatus.EXPIRED,
}


class QueueFull(Exception):
    """No room: `size` requests wait, are being answered or wait for the bus, of `max_size` at most."""

    def __init__(self, size: int, max_size: int, reason: str) -> None:
        self.size = size
        self.max_size = max_size
        self.reason = reason
        super().__init__(f"queue holds {size} of {max_size} requests ({reason})")


class CorrelationIdInUse(Exception):
    """Another request was put under this correlation id."""


class QueueUnavailable(Exception):
    """The store cannot be reached now; nothing was accepted."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much a queue holds, and for how long.

    Past `high_watermark` of size or memory it refuses until it is below `low_watermark`, so that a client that waits
    once finds room for more than one.
    """

    max_size: int
    max_memory_bytes: int
    high_watermark: float
    low_watermark: float
    claim_timeout_s: float
    """How long a claim may go without being renewed."""
    max_attempts: int
    """After this many a claim that ran out is not tried again."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """queued: waiting for their turn; total: also those being answered and those whose callback waits for the bus."""

    queued: int
    total: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A callback on its way to the bus. result: success, failure or expired."""

    queue_id: UUID
    correlation_id: UUID
    topic: str
    key: bytes
    value: bytes
    result: str


class LapseKind(StrEnum):
    """What became of a request without a worker's doing."""

    EXPIRED = "expired"
    """Its time to live passed while it waited. It is claimed: answer it."""
    GIVEN_UP = "given_up"
    """Its claim ran out once too often. It is claimed: answer it."""
    RECLAIMED = "reclaimed"
    """Its claim ran out; it waits again."""


@dataclass(frozen=True, slots=True)
class Lapse:
    """A request that lapsed. age_s: since it was accepted."""

    kind: LapseKind
    request: QueuedRequest
    age_s: float


@dataclass(frozen=True, slots=True)
class Known:
    """What the queue knows of a request. callback: None until there is one, and once it is no longer kept."""

    queue_id: UUID
    correlation_id: UUID
    status: QueueStatus
    attempts: int
    published: bool
    callback: bytes | None


class RequestQueue(Protocol):
    """A store of accepted requests and of the callbacks that the bus does not have yet."""

    @property
    def outlives_process(self) -> bool:
        """Whether what it holds is there for the next process."""
        ...

    async def open(self) -> None:
        """Get ready; must come first. Raises QueueUnavailable."""
        ...

    async def close(self) -> None:
        """Let go of everything that `open` took. What is stored durably stays."""
        ...

    async def put(self, request: QueuedRequest, fingerprint: bytes) -> bool:
        """Accept a request; False when the same one is known already, which is then not queued again.

        fingerprint: what a repetition must match. Raises QueueFull, CorrelationIdInUse, QueueUnavailable.
        """
        ...

    async def claim(self, cap: int) -> tuple[QueuedRequest, ...]:
        """Wait for a request, and take it with the compatible ones right behind it, at most its own limit and `cap`.

        The first incompatible one stays where it is, at the head, and so leads the next claim. One whose time to live
        has passed is never among them.
        """
        ...

    async def renew(self, requests: Sequence[QueuedRequest]) -> None:
        """Their holder is alive: their claims run from now."""
        ...

    async def retry(self, request: QueuedRequest, delay_s: float) -> None:
        """Give a claimed request back, to be claimed again after a while, with one attempt more."""
        ...

    async def hold(self, request: QueuedRequest, delay_s: float) -> None:
        """Give a claimed request back, to be claimed again after a while, without a further attempt: none was made."""
        ...

    async def release(self, requests: Sequence[QueuedRequest]) -> None:
        """Give claimed requests back as they were: their turn never began."""
        ...

    async def answer(self, request: QueuedRequest, answer: Answer) -> bool:
        """A claimed request is over: keep its callback until the bus has it. False when the claim was lost."""
        ...

    async def answer_all(self, answered: Sequence[tuple[QueuedRequest, Answer]]) -> list[bool]:
        """`answer` for many, in order; a store that is far away is asked once."""
        ...

    async def outgoing(self) -> tuple[Answer, ...]:
        """Wait for callbacks that the bus should get, oldest first. Each comes once, and again after a crash."""
        ...

    async def published(self, answers: Sequence[Answer]) -> None:
        """The bus has these."""
        ...

    async def lapsed(self) -> Lapse:
        """Wait for a request that lapsed."""
        ...

    def claim_unanswered(self) -> tuple[QueuedRequest, ...]:
        """Take all that would be lost with this process: nothing of a queue that outlives it."""
        ...

    async def lookup(self, queue_id: UUID) -> Known | None:
        """What is known of a request; None for one that never was or is forgotten. Raises QueueUnavailable."""
        ...

    async def depth(self) -> QueueDepth:
        """Figures for metrics. Raises QueueUnavailable."""
        ...
