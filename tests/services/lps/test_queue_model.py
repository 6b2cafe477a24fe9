"""Any sequence of calls, against a queue that is simple enough to be right.

Here: the model, and both stores driven along with it. Not here: single facts (test_queue.py).

Time moves in steps of 50 s, and everything that has a term has one of a multiple of that. The memory's clock is
virtual; Redis is told a clock that runs ahead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cj_pipeline.contracts.enums import QueueStatus
from cj_pipeline.runs.virtual_time import run_real, run_virtual
from cj_pipeline.services.lps.queue.memory import MemoryQueue
from cj_pipeline.services.lps.queue.queue import LapseKind, QueueDepth, RequestQueue
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest
from cj_pipeline.services.lps.queue.redis.queue import RedisQueue
from tests.servers import needs
from tests.services.lps.queues import LIMITS, ClockAhead, admission, answer_to, never, request
from tests.services.lps.redis_server import RedisServer

STEP_S = 50.0
CLAIM_TIMEOUT_S = 100.0
TTL_S = 500.0
MAX_ATTEMPTS = 3
TERMS = replace(LIMITS, claim_timeout_s=CLAIM_TIMEOUT_S, max_attempts=MAX_ATTEMPTS)


@dataclass
class Entry:
    """One request as the model sees it."""

    number: int
    priority: int
    arrival: int
    flavour: int
    expires_at: float
    status: str = "queued"
    attempts: int = 0
    ready_at: float = 0.0
    claimed_until: float = 0.0


class Model:
    def __init__(self) -> None:
        self.now = 0.0
        self.entries: dict[int, Entry] = {}
        self.outbox: list[int] = []

    def put(self, number: int, priority: int, flavour: int) -> bool:
        if number in self.entries:
            return False
        self.entries[number] = Entry(number, priority, len(self.entries), flavour, self.now + TTL_S)
        return True

    def line(self) -> list[Entry]:
        ready = [one for one in self.entries.values() if one.status == "queued" and one.ready_at <= self.now]
        return sorted(ready, key=lambda one: (-one.priority, one.arrival))

    def claim(self, cap: int) -> list[Entry]:
        members: list[Entry] = []
        for one in self.line()[:cap]:
            if one.flavour != self.line()[0].flavour:
                break
            members.append(one)
        for one in members:
            self.hold(one)
        return members

    def hold(self, one: Entry) -> None:
        one.status, one.claimed_until = "held", self.now + CLAIM_TIMEOUT_S

    def held(self, number: int, attempts: int) -> Entry | None:
        one = self.entries[number]
        return one if one.status == "held" and one.attempts == attempts else None

    def lapses(self) -> list[tuple[LapseKind, int, int]]:
        """What lapses now."""
        found = []
        for one in self.entries.values():
            if one.status == "held" and one.claimed_until <= self.now:
                one.attempts += 1
                one.status, one.ready_at = "queued", self.now
                if one.attempts >= MAX_ATTEMPTS:
                    self.hold(one)
                    found.append((LapseKind.GIVEN_UP, one.number, one.attempts))
                else:
                    found.append((LapseKind.RECLAIMED, one.number, one.attempts))
            if one.status == "queued" and one.expires_at <= self.now:
                self.hold(one)
                found.append((LapseKind.EXPIRED, one.number, one.attempts))
        return found

    def depth(self) -> QueueDepth:
        queued = [one for one in self.entries.values() if one.status == "queued"]
        all_of_them = [one for one in self.entries.values() if one.status != "over"]
        return QueueDepth(len(queued), len(all_of_them), 1500 * len(all_of_them))


class MemoryDrive:
    def __init__(self) -> None:
        self.queue: RequestQueue = MemoryQueue(TERMS)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def step(self) -> None:
        await asyncio.sleep(STEP_S)

    async def settle(self) -> None:
        await asyncio.sleep(0.001)


class RedisDrive:
    def __init__(self, server: RedisServer) -> None:
        self.clock = ClockAhead()
        self._redis = RedisQueue(server.url, TERMS, self.clock, admission().revive, prefix=f"model:{uuid4().hex}")
        self.queue: RequestQueue = self._redis

    def now(self) -> float:
        return self.clock.monotonic()

    async def step(self) -> None:
        self.clock.ahead_s += STEP_S

    async def settle(self) -> None:
        # Its own tending goes by the loop's time, and has not noticed the step.
        await self._redis._calls.submit("tend", 1, then=self._redis._on_tended)


class Play:
    """One sequence of calls on a store and on the model."""

    def __init__(self, drive: MemoryDrive | RedisDrive) -> None:
        self._drive = drive
        self._queue = drive.queue
        self._model = Model()
        self._numbers: dict[UUID, int] = {}
        self._handles: list[QueuedRequest] = []

    async def settle(self) -> None:
        await self._drive.settle()
        expected = self._model.lapses()
        found = []
        for _ in expected:
            lapse = await asyncio.wait_for(self._queue.lapsed(), 2.0)
            found.append((lapse.kind, self._numbers[lapse.request.queue_id], lapse.request.attempts))
            if lapse.kind is not LapseKind.RECLAIMED:
                self._handles.append(lapse.request)
        assert sorted(found) == sorted(expected)
        assert await self._queue.depth() == self._model.depth()

    def _handle(self, which: int) -> tuple[QueuedRequest, Entry | None] | None:
        """One of the requests that were ever claimed; and its entry if the claim still holds."""
        if not self._handles:
            return None
        handle = self._handles[-1 - which % len(self._handles)]
        return handle, self._model.held(self._numbers[handle.queue_id], handle.attempts)

    async def put(self, number: int, priority: int, flavour: int) -> None:
        one = request(number, temperature_override=float(flavour), priority=priority)
        one = replace(one, enqueued_at=self._drive.now(), expires_at=self._drive.now() + TTL_S)
        self._numbers[one.queue_id] = number
        assert await self._queue.put(one, b"print") == self._model.put(number, priority, flavour)

    async def claim(self, cap: int) -> None:
        if not self._model.line():
            return
        members = await asyncio.wait_for(self._queue.claim(cap), 2.0)
        expected = self._model.claim(cap)
        assert [(self._numbers[one.queue_id], one.attempts) for one in members] == [
            (one.number, one.attempts) for one in expected
        ]
        self._handles += members

    async def answer(self, which: int) -> None:
        if (found := self._handle(which)) is not None:
            handle, entry = found
            assert await self._queue.answer(handle, answer_to(handle)) == (entry is not None)
            if entry is not None:
                entry.status = "answered"
                self._model.outbox.append(entry.number)

    async def retry(self, which: int, delay_steps: int) -> None:
        if (found := self._handle(which)) is not None:
            handle, entry = found
            await self._queue.retry(handle, delay_steps * STEP_S)
            if entry is not None:
                entry.status, entry.ready_at = "queued", self._model.now + delay_steps * STEP_S
                entry.attempts += 1

    async def put_back(self, which: int, delay_steps: int) -> None:
        if (found := self._handle(which)) is not None:
            handle, entry = found
            await self._queue.hold(handle, delay_steps * STEP_S)
            if entry is not None:
                entry.status, entry.ready_at = "queued", self._model.now + delay_steps * STEP_S

    async def release(self, which: int) -> None:
        if (found := self._handle(which)) is not None:
            handle, entry = found
            await self._queue.release([handle])
            if entry is not None:
                entry.status, entry.ready_at = "queued", self._model.now

    async def renew(self, which: int) -> None:
        if (found := self._handle(which)) is not None:
            handle, entry = found
            await self._queue.renew([handle])
            if entry is not None:
                entry.claimed_until = self._model.now + CLAIM_TIMEOUT_S

    async def publish(self) -> None:
        if self._model.outbox:
            answers = await asyncio.wait_for(self._queue.outgoing(), 2.0)
            assert [self._numbers[answer.queue_id] for answer in answers] == self._model.outbox
            await self._queue.published(answers)
            for number in self._model.outbox:
                self._model.entries[number].status = "over"
            self._model.outbox = []

    async def wait(self, steps: int) -> None:
        for _ in range(steps):
            await self._drive.step()
            self._model.now += STEP_S
            await self.settle()

    async def end(self) -> None:
        """Each request is where the model has it, and nothing lapses or leaves besides."""
        await self.publish()
        status = {"queued": QueueStatus.QUEUED, "held": QueueStatus.PROCESSING, "over": QueueStatus.COMPLETED}
        for queue_id, number in self._numbers.items():
            known = await self._queue.lookup(queue_id)
            entry = self._model.entries[number]
            assert known is not None
            assert (known.status, known.attempts) == (status[entry.status], entry.attempts)
        assert await never(self._queue.lapsed(), 0.002)
        assert await never(self._queue.outgoing(), 0.002)


# Of all claims there ever were, counted from the latest.
WHICH = st.integers(0, 5)
CALLS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 11), st.sampled_from([5, 5, 5, 9]), st.integers(0, 1)),
    st.tuples(st.just("put"), st.integers(0, 11), st.just(5), st.just(0)),
    st.tuples(st.just("claim"), st.sampled_from([1, 3, 64])),
    st.tuples(st.just("answer"), WHICH),
    st.tuples(st.just("retry"), WHICH, st.sampled_from([0, 1, 3])),
    st.tuples(st.just("put_back"), WHICH, st.sampled_from([0, 1, 3])),
    st.tuples(st.just("release"), WHICH),
    st.tuples(st.just("renew"), WHICH),
    st.tuples(st.just("publish")),
    st.tuples(st.just("wait"), st.sampled_from([1, 2, 3])),
)
LIVES = st.lists(CALLS, min_size=10, max_size=60)


async def play(drive: MemoryDrive | RedisDrive, calls: list[tuple[Any, ...]]) -> None:
    await drive.queue.open()
    try:
        the_play = Play(drive)
        for name, *arguments in calls:
            call: Callable[..., Any] = getattr(the_play, name)
            await call(*arguments)
            await the_play.settle()
        await the_play.end()
    finally:
        await drive.queue.close()


@settings(max_examples=100, deadline=None)
@given(LIVES)
def test_the_memory_store_does_what_the_model_does(calls: list[tuple[Any, ...]]) -> None:
    async def main() -> None:
        await play(MemoryDrive(), calls)

    run_virtual(main())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LIVES)
def test_the_redis_store_does_what_the_model_does(redis_server: RedisServer, calls: list[tuple[Any, ...]]) -> None:
    async def main() -> None:
        await play(RedisDrive(redis_server), calls)

    run_real(main())


@pytest.mark.parametrize("drive", ["memory", needs("redis")])
def test_a_life_with_every_kind_of_lapse(drive: str, request: pytest.FixtureRequest) -> None:
    # put, lost three times (reclaimed, reclaimed, given up), answered; another one expires
    calls: list[tuple[Any, ...]] = [("put", 0, 5, 0), ("put", 1, 5, 1)]
    calls += [("claim", 1), ("wait", 2)] * 3 + [("answer", 0), ("wait", 4), ("publish",)]

    async def main() -> None:
        await play(MemoryDrive() if drive == "memory" else RedisDrive(request.getfixturevalue("redis_server")), calls)

    (run_virtual if drive == "memory" else run_real)(main())
