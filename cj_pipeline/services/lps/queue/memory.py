"""This module keeps the queue in this process's memory: nothing to install, nothing left after the process ends.

Nothing polls: claimers, the publisher and the worker of lapses wait on futures, and one timer of the loop is set
for the earliest alarm while anything is in the queue.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from cj_pipeline.contracts.enums import QueueStatus
from cj_pipeline.services.lps.queue.bundling import bundle_key, bundle_limit
from cj_pipeline.services.lps.queue.inbox import Inbox
from cj_pipeline.services.lps.queue.queue import (
    KEPT_CALLBACKS,
    OUTGOING_BATCH,
    REMEMBERED_ANSWERS,
    STATUS_OF_RESULT,
    Answer,
    CorrelationIdInUse,
    Known,
    Lapse,
    LapseKind,
    QueueDepth,
    QueueFull,
    QueueLimits,
)
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest


@dataclass(slots=True, eq=False)
class _Entry:
    """A request that is not over yet. arrival: its place in the order, which it keeps when it is tried again."""

    request: QueuedRequest
    fingerprint: bytes
    arrival: int
    status: QueueStatus = QueueStatus.QUEUED
    claimed_until: float = 0.0
    callback: bytes | None = None

    def next_alarm(self) -> float:
        return self.claimed_until if self.status is QueueStatus.PROCESSING else self.request.expires_at


@dataclass(frozen=True, slots=True)
class _Over:
    """A request whose callback the bus has."""

    correlation_id: UUID
    fingerprint: bytes
    status: QueueStatus
    attempts: int


class MemoryQueue:
    """One event loop; any number of claimers."""

    outlives_process = False

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._entries: dict[UUID, _Entry] = {}
        self._waiting: list[tuple[int, int, _Entry]] = []
        self._alarms: list[tuple[float, int, _Entry]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._delayed: dict[UUID, asyncio.TimerHandle] = {}
        self._claimers: deque[asyncio.Future[None]] = deque()
        self._outbox: Inbox[Answer] = Inbox()
        self._lapses: Inbox[Lapse] = Inbox()
        self._over: OrderedDict[UUID, _Over] = OrderedDict()
        self._callbacks: OrderedDict[UUID, bytes] = OrderedDict()
        self._arrivals = 0
        self._alarms_set = 0
        self._queued = 0
        self._memory_bytes = 0
        self._refusing = False

    async def open(self) -> None:
        """Nothing to get ready."""
        self._loop = asyncio.get_running_loop()  # kept, for the reason that the clock has (clock.py)

    async def close(self) -> None:
        """Stop the timers; the requests go with the process."""
        if self._timer is not None:
            self._timer.cancel()
        for timer in self._delayed.values():
            timer.cancel()

    async def put(self, request: QueuedRequest, fingerprint: bytes) -> bool:
        """As the protocol says."""
        queue_id = request.queue_id
        known = self._entries.get(queue_id) or self._over.get(queue_id)
        if known is not None:
            if known.fingerprint != fingerprint:
                raise CorrelationIdInUse
            return False
        self._require_room(request.size_bytes)
        entry = _Entry(request, fingerprint, self._arrivals)
        self._arrivals += 1
        self._entries[queue_id] = entry
        self._memory_bytes += request.size_bytes
        self._queued += 1
        self._set_alarm(entry)
        self._line_up(entry)
        return True

    async def claim(self, cap: int) -> tuple[QueuedRequest, ...]:
        """As the protocol says."""
        while (lead := self._next_waiting()) is None:
            claimer = self._loop.create_future()
            self._claimers.append(claimer)
            try:
                await claimer
            except asyncio.CancelledError:
                if claimer.done() and not claimer.cancelled():
                    self._wake_a_claimer()  # it was this one's turn; somebody else can take it
                raise
        members = [self._start(lead)]
        limit = bundle_limit(lead.request, cap)
        if limit > 1:
            key = bundle_key(lead.request)
            while len(members) < limit and (follower := self._next_waiting()) is not None:
                if bundle_key(follower.request) != key:
                    self._push(follower)
                    break
                members.append(self._start(follower))
        if self._waiting:
            self._wake_a_claimer()
        return tuple(members)

    async def renew(self, requests: Sequence[QueuedRequest]) -> None:
        """As the protocol says."""
        until = self._loop.time() + self._limits.claim_timeout_s
        for request in requests:
            entry = self._held(request)
            if entry is not None:
                entry.claimed_until = until  # the alarm that is set rings too early, and is then set again

    async def retry(self, request: QueuedRequest, delay_s: float) -> None:
        """As the protocol says."""
        self._delay(request, replace(request, attempts=request.attempts + 1), delay_s)

    async def hold(self, request: QueuedRequest, delay_s: float) -> None:
        """As the protocol says."""
        self._delay(request, request, delay_s)

    async def release(self, requests: Sequence[QueuedRequest]) -> None:
        """As the protocol says."""
        for request in requests:
            entry = self._held(request)
            if entry is not None:
                self._give_back(entry)
                self._line_up(entry)

    async def answer(self, request: QueuedRequest, answer: Answer) -> bool:
        """As the protocol says."""
        entry = self._held(request)
        if entry is None:
            return False
        entry.status = STATUS_OF_RESULT[answer.result]
        entry.callback = answer.value
        self._outbox.add(answer)
        return True

    async def answer_all(self, answered: Sequence[tuple[QueuedRequest, Answer]]) -> list[bool]:
        """As the protocol says."""
        return [await self.answer(request, answer) for request, answer in answered]

    async def outgoing(self) -> tuple[Answer, ...]:
        """As the protocol says."""
        return await self._outbox.take(OUTGOING_BATCH)

    async def published(self, answers: Sequence[Answer]) -> None:
        """As the protocol says."""
        for answer in answers:
            entry = self._entries.pop(answer.queue_id, None)
            if entry is None:  # published twice
                continue
            self._memory_bytes -= entry.request.size_bytes
            self._over[answer.queue_id] = _Over(
                entry.request.correlation_id, entry.fingerprint, entry.status, entry.request.attempts
            )
            self._callbacks[answer.queue_id] = answer.value
            if len(self._over) > REMEMBERED_ANSWERS:
                self._over.popitem(last=False)
            if len(self._callbacks) > KEPT_CALLBACKS:
                self._callbacks.popitem(last=False)

    async def lapsed(self) -> Lapse:
        """As the protocol says."""
        return (await self._lapses.take(1))[0]

    async def lookup(self, queue_id: UUID) -> Known | None:
        """As the protocol says."""
        entry = self._entries.get(queue_id)
        if entry is not None:
            request = entry.request
            return Known(queue_id, request.correlation_id, entry.status, request.attempts, False, entry.callback)
        over = self._over.get(queue_id)
        if over is None:
            return None
        return Known(queue_id, over.correlation_id, over.status, over.attempts, True, self._callbacks.get(queue_id))

    async def depth(self) -> QueueDepth:
        """As the protocol says."""
        return QueueDepth(queued=self._queued, total=len(self._entries), memory_bytes=self._memory_bytes)

    def claim_unanswered(self) -> tuple[QueuedRequest, ...]:
        """Claim all that has no callback yet, also what others hold, in order of arrival."""
        rest = [entry for entry in self._entries.values() if entry.callback is None]
        for entry in rest:
            timer = self._delayed.pop(entry.request.queue_id, None)
            if timer is not None:
                timer.cancel()
            if entry.status is QueueStatus.QUEUED:
                self._start(entry)
        return tuple(entry.request for entry in rest)

    def _require_room(self, size_bytes: int) -> None:
        limits, size = self._limits, len(self._entries)
        of_size = size / limits.max_size
        of_memory = self._memory_bytes / limits.max_memory_bytes
        usage = max(of_size, of_memory)
        if usage >= limits.high_watermark:
            self._refusing = True
        elif usage < limits.low_watermark:
            self._refusing = False
        # One request alone is always taken: admission has checked that it is no larger than a request may be.
        over = size > 0 and self._memory_bytes + size_bytes > limits.max_memory_bytes
        if self._refusing or over:
            raise QueueFull(size, limits.max_size, "memory" if over or of_memory > of_size else "size")

    def _push(self, entry: _Entry) -> None:
        heapq.heappush(self._waiting, (-entry.request.priority, entry.arrival, entry))

    def _line_up(self, entry: _Entry) -> None:
        self._push(entry)
        self._wake_a_claimer()

    def _wake_a_claimer(self) -> None:
        while self._claimers:
            claimer = self._claimers.popleft()
            if not claimer.done():
                claimer.set_result(None)
                return

    def _next_waiting(self) -> _Entry | None:
        """Take the head of the line; those that expired meanwhile are only skipped, their alarm deals with them."""
        now = self._loop.time()
        while self._waiting:
            entry = heapq.heappop(self._waiting)[2]
            if entry.status is QueueStatus.QUEUED and entry.request.expires_at > now:
                return entry
        return None

    def _start(self, entry: _Entry) -> QueuedRequest:
        entry.status = QueueStatus.PROCESSING
        entry.claimed_until = self._loop.time() + self._limits.claim_timeout_s
        self._queued -= 1
        self._set_alarm(entry)
        return entry.request

    def _give_back(self, entry: _Entry) -> None:
        entry.status = QueueStatus.QUEUED
        self._queued += 1
        self._set_alarm(entry)

    def _delay(self, claimed: QueuedRequest, again: QueuedRequest, delay_s: float) -> None:
        entry = self._held(claimed)
        if entry is not None:
            entry.request = again
            self._give_back(entry)
            self._delayed[claimed.queue_id] = self._loop.call_later(delay_s, self._delay_is_over, entry)

    def _delay_is_over(self, entry: _Entry) -> None:
        del self._delayed[entry.request.queue_id]
        if entry.status is QueueStatus.QUEUED:
            self._line_up(entry)

    def _held(self, request: QueuedRequest) -> _Entry | None:
        """The entry of a claim that is still its claimer's."""
        entry = self._entries.get(request.queue_id)
        if entry is None or entry.status is not QueueStatus.PROCESSING or entry.request.attempts != request.attempts:
            return None
        return entry

    def _set_alarm(self, entry: _Entry) -> None:
        # Alarms of requests that are over stay in the heap until they ring; before they outnumber the others they go.
        if len(self._alarms) > 4 * len(self._entries) + 4096:
            self._alarms = [(alarm.next_alarm(), number, alarm) for number, alarm in enumerate(self._entries.values())]
            heapq.heapify(self._alarms)
            self._alarms_set = len(self._alarms)
        self._alarms_set += 1
        alarm = (entry.next_alarm(), self._alarms_set, entry)
        heapq.heappush(self._alarms, alarm)
        if self._alarms[0] is alarm or self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._alarms[0][0], self._ring) if self._alarms else None

    def _ring(self) -> None:
        now = self._loop.time()
        due: list[_Entry] = []
        while self._alarms and self._alarms[0][0] <= now:
            due.append(heapq.heappop(self._alarms)[2])
        for entry in due:
            self._on_alarm(entry, now)
        self._set_timer()

    def _on_alarm(self, entry: _Entry, now: float) -> None:
        request = entry.request
        if self._entries.get(request.queue_id) is not entry or entry.callback is not None:
            return
        if entry.next_alarm() > now:
            self._alarms_set += 1
            heapq.heappush(self._alarms, (entry.next_alarm(), self._alarms_set, entry))
            return
        age_s = now - request.enqueued_at
        if entry.status is QueueStatus.QUEUED:
            timer = self._delayed.pop(request.queue_id, None)
            if timer is not None:
                timer.cancel()
            self._lapses.add(Lapse(LapseKind.EXPIRED, self._start(entry), age_s))
            return
        entry.request = replace(request, attempts=request.attempts + 1)
        self._give_back(entry)
        if entry.request.attempts >= self._limits.max_attempts:
            self._lapses.add(Lapse(LapseKind.GIVEN_UP, self._start(entry), age_s))
        else:
            self._line_up(entry)
            self._lapses.add(Lapse(LapseKind.RECLAIMED, entry.request, age_s))
