"""This module keeps the queue in Redis: it outlives its process, and several instances share the work.

Redis 6.2 or later, or Valkey. Nothing accepted is lost when instances are killed. What survives the death of Redis
itself, or of its machine, is up to its settings: `appendonly yes` with `appendfsync always` keeps everything; with
`everysec`, the default, the last second or two are gone, among them requests whose 202 was sent; without an append-only
file everything since the last snapshot is. `maxmemory-policy` must be `noeviction`, also the default. In a Redis
Cluster the prefix needs braces, such as `{lps}:queue`, so that all keys are in one slot. The clocks of instances must
agree to a fraction of `claim_timeout_s`.

An instance that holds claims or callbacks renews its sign of life every 3 s, and is dead 10 s after the last one; then
any other, or its successor, takes over what it held. It looks for that, and for what has expired, every 3 s
while anything is in the queue; while nothing is, once every 10 s: that is all an idle queue sends.

Callbacks of one instance come in the order of their answers; those taken over from a dead one join the line when they
are found.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID, uuid4

from cj_pipeline.contracts.enums import QueueStatus
from cj_pipeline.foundation.clock import LoopClock
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
from cj_pipeline.services.lps.queue.redis.calls import WAITS, Argument, CallRefused, Reply, ScriptCalls
from cj_pipeline.services.lps.queue.redis.notifications import listen
from cj_pipeline.services.lps.queue.redis.record import Records, Revive, UnreadableRecord
from cj_pipeline.services.lps.queue.redis.scripts import queue_script
from cj_pipeline.services.lps.queue.redis.wakeups import Alarm, ClaimTurns

_log = logging.getLogger(__name__)

OWNER_TTL_S = 10.0
TENDING_S = 3.0
IDLE_TENDING_S = 10.0
# After an outage of Redis everybody's sign of life has expired; those alive try every 2 s, and are back by then.
GRACE_S = 3.0
REMEMBERED_S = 4 * 3600
# Room for 2**48 arrivals on each level of priority; 11 levels of it are still exact in a score, which is a double.
_LEVEL = 2**48
_TOP_PRIORITY = 10
# Redis is told seconds since 1970, in steps of 0.2 us: asked at the very moment, it may find that it has not come yet.
_LATE_S = 0.001


class RedisQueue:
    """One instance of the queue that all with the same Redis and prefix share.

    revive: `Admission.revive`, which accepts again what was read back. The URL's password never shows up in an error.
    """

    def __init__(
        self,
        url: str,
        limits: QueueLimits,
        clock: LoopClock,
        revive: Revive,
        *,
        prefix: str = "llm_provider_service:queue",
    ) -> None:
        self._url = url
        self._limits = limits
        self._clock = clock
        self._prefix = prefix
        self._me = uuid4().hex
        self._epoch_s = clock.now().timestamp() - clock.monotonic()
        self._records = Records(revive, self._epoch_s)
        self._calls = ScriptCalls(url, queue_script(), prefix, self._head)
        self._line = ClaimTurns()
        self._alarm = Alarm()
        self._outbox: Inbox[Answer] = Inbox()
        self._lapses: Inbox[Lapse] = Inbox()
        self._tasks: list[asyncio.Task[None]] = []
        self.broken = 0
        """Records found that cannot be read, and put aside under `<prefix>:broken`."""

    outlives_process = True

    async def open(self) -> None:
        """Connect, and take over what dead instances left. Raises QueueUnavailable."""
        await self._calls.open()
        self._tasks = [
            asyncio.create_task(self._tend(), name="lps-redis-tending"),
            asyncio.create_task(
                listen(self._url, f"{self._prefix}:waiting", self._me, self._on_notice), name="lps-redis-notices"
            ),
        ]

    async def close(self) -> None:
        """Disconnect. What this instance holds others may take over at once."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._calls.close(f"{self._prefix}:owner:{self._me}", f"{self._prefix}:reply:{self._me}")

    async def put(self, request: QueuedRequest, fingerprint: bytes) -> bool:
        """As the protocol says."""
        record = self._records.written(request)
        reply = await self._calls.ask(
            "put",
            str(request.queue_id),
            str(request.correlation_id),
            fingerprint,
            (_TOP_PRIORITY - request.priority) * _LEVEL,
            sha256(bundle_key(request).encode()).digest()[:16],
            bundle_limit(request, sys.maxsize),
            self._epoch_s + request.expires_at,
            request.size_bytes,
            request.attempts,
            request.worked_s,
            record,
            then=self._on_put,
        )
        match reply[0]:
            case b"queued":
                self._alarm.ring_by(request.expires_at + _LATE_S)
                return True
            case b"known":
                return False
            case b"in_use":
                raise CorrelationIdInUse
            case _:
                raise QueueFull(reply[1], self._limits.max_size, reply[2].decode())

    async def claim(self, cap: int) -> tuple[QueuedRequest, ...]:
        """As the protocol says."""
        while True:
            await self._line.turn()
            try:
                members = await self._claim(cap)
            except CallRefused as refused:
                _log.error("%s", refused)
                await asyncio.sleep(WAITS.most_s)
                self._line.one_more()
                continue
            if members:
                return members

    async def renew(self, requests: Sequence[QueuedRequest]) -> None:
        """As the protocol says."""
        await self._calls.tell("renew", *_fences(requests))

    async def retry(self, request: QueuedRequest, delay_s: float) -> None:
        """As the protocol says."""
        await self._delay(request, delay_s, attempts=1)

    async def hold(self, request: QueuedRequest, delay_s: float) -> None:
        """As the protocol says."""
        await self._delay(request, delay_s, attempts=0)

    async def release(self, requests: Sequence[QueuedRequest]) -> None:
        """As the protocol says."""
        await self._calls.tell("release", *_fences(requests), then=self._on_line)
        for request in requests:
            self._alarm.ring_by(request.expires_at + _LATE_S)

    async def answer(self, request: QueuedRequest, answer: Answer) -> bool:
        """As the protocol says."""

        def on_reply(reply: Reply) -> None:
            if reply[0]:
                self._outbox.add(answer)

        reply = await self._calls.tell(
            "answer",
            str(request.queue_id),
            request.attempts,
            STATUS_OF_RESULT[answer.result].value,
            answer.topic,
            answer.key,
            answer.value,
            then=on_reply,
        )
        return bool(reply[0])

    async def answer_all(self, answered: Sequence[tuple[QueuedRequest, Answer]]) -> list[bool]:
        """As the protocol says."""
        return await asyncio.gather(*(self.answer(request, answer) for request, answer in answered))

    async def outgoing(self) -> tuple[Answer, ...]:
        """As the protocol says."""
        return await self._outbox.take(OUTGOING_BATCH)

    async def published(self, answers: Sequence[Answer]) -> None:
        """As the protocol says."""
        if answers:
            await self._calls.tell("published", *(str(answer.queue_id) for answer in answers))

    async def lapsed(self) -> Lapse:
        """As the protocol says."""
        return (await self._lapses.take(1))[0]

    def claim_unanswered(self) -> tuple[QueuedRequest, ...]:
        """None: the next process goes on with all of it."""
        return ()

    async def lookup(self, queue_id: UUID) -> Known | None:
        """As the protocol says."""
        reply = await self._calls.ask("lookup", str(queue_id))
        if not reply:
            return None
        correlation_id, status, attempts, published, callback = reply
        return Known(
            queue_id,
            UUID(correlation_id.decode()),
            QueueStatus(status.decode()),
            int(attempts),
            bool(published),
            callback,
        )

    async def depth(self) -> QueueDepth:
        """As the protocol says."""
        queued, total, memory_bytes = await self._calls.ask("depth")
        return QueueDepth(queued=queued, total=total, memory_bytes=memory_bytes)

    def _head(self, number: int) -> Sequence[Argument]:
        now = self._epoch_s + self._clock.monotonic()
        limits = self._limits
        return (
            self._me,
            number,
            now,
            now + limits.claim_timeout_s,
            limits.max_size,
            limits.max_memory_bytes,
            limits.high_watermark,
            limits.low_watermark,
            limits.max_attempts,
            round(OWNER_TTL_S * 1000),
            REMEMBERED_S,
            REMEMBERED_ANSWERS,
            KEPT_CALLBACKS,
        )

    async def _claim(self, cap: int) -> tuple[QueuedRequest, ...]:
        """Ask for a bundle; empty when nothing waits after all. Raises CallRefused."""

        def on_reply(reply: Reply) -> None:
            self._line.waiting(reply[0])
            self._watch()
            if asked.cancelled():
                # The script was under way when the claimer was cancelled, and has claimed all the same.
                self._give_back(reply)

        asked = self._calls.submit("claim", cap, then=on_reply)
        try:
            reply = await asked
        except asyncio.CancelledError:
            if not asked.cancelled() and asked.exception() is None:
                self._give_back(asked.result())
            self._line.one_more()
            raise
        members = []
        for queue_id, attempts, worked_s, record in reply[1]:
            request = self._read(queue_id, record, attempts, worked_s)
            if request is not None:
                members.append(request)
        return tuple(members)

    async def _delay(self, request: QueuedRequest, delay_s: float, *, attempts: int) -> None:
        """Give a claim back until then. attempts: how many more it then has behind it."""
        due = self._clock.monotonic() + delay_s
        await self._calls.tell(
            "retry",
            str(request.queue_id),
            request.attempts,
            request.worked_s,
            self._epoch_s + due,
            attempts,
            then=self._on_line,
        )
        self._alarm.ring_by(min(due, request.expires_at) + _LATE_S)

    def _give_back(self, reply: Reply) -> None:
        fences = [part for queue_id, attempts, _, _ in reply[1] for part in (queue_id, attempts)]
        self._calls.submit("release", *fences, then=self._on_line)

    def _read(self, queue_id: bytes, record: bytes, attempts: bytes, worked_s: bytes) -> QueuedRequest | None:
        """The request of a record; None for one that cannot be read, which is put aside."""
        try:
            return self._records.read(queue_id, record, attempts, worked_s)
        except UnreadableRecord as error:
            self.broken += 1
            _log.error("the stored request %s cannot be read (%s); it is put aside", queue_id.decode(), error)
            self._calls.submit("set_aside", queue_id)
            return None

    async def _tend(self) -> None:
        while True:
            now = self._clock.monotonic()
            takes_over = now - self._calls.back_since > GRACE_S
            try:
                # Its findings are claimed by then, and must not be lost with the wait for them.
                reply = await asyncio.shield(self._calls.submit("tend", int(takes_over), then=self._on_tended))
            except CallRefused as refused:
                _log.error("%s", refused)
                await asyncio.sleep(WAITS.most_s)
                continue
            _, total, next_at, more, _, _ = reply
            if more:
                continue
            until = self._clock.monotonic() + (TENDING_S if total else IDLE_TENDING_S)
            await self._alarm.wait(min(until, float(next_at) - self._epoch_s + _LATE_S) if next_at else until)

    def _on_tended(self, reply: Reply) -> None:
        waiting, _, _, _, lapses, callbacks = reply
        now = self._clock.monotonic()
        for kind, queue_id, attempts, worked_s, record in lapses:
            request = self._read(queue_id, record, attempts, worked_s)
            if request is not None:
                self._lapses.add(Lapse(LapseKind(kind.decode()), request, now - request.enqueued_at))
        for queue_id, correlation_id, topic, key, value, status in callbacks:
            result = _RESULT_OF_STATUS[QueueStatus(status.decode())]
            self._outbox.add(
                Answer(UUID(queue_id.decode()), UUID(correlation_id.decode()), topic.decode(), key, value, result)
            )
        self._line.waiting(waiting)

    def _on_put(self, reply: Reply) -> None:
        if reply[0] == b"queued":
            self._line.one_more()
            self._watch()

    def _on_line(self, reply: Reply) -> None:
        if reply:
            self._line.waiting(reply[0])

    def _on_notice(self) -> None:
        # Not simply one turn more: the reply to a claim that saw the line empty may still be on its way.
        self._calls.submit("waiting", then=self._on_line)
        self._watch()

    def _watch(self) -> None:
        """The queue is not empty: tend it as often as that needs."""
        self._alarm.ring_by(self._clock.monotonic() + min(TENDING_S, self._limits.claim_timeout_s + _LATE_S))


def _fences(requests: Sequence[QueuedRequest]) -> list[Argument]:
    return [part for request in requests for part in (str(request.queue_id), request.attempts)]


_RESULT_OF_STATUS = {status: result for result, status in STATUS_OF_RESULT.items()}
