"""Both stores of requests, made alike, and requests to put into them.

Here: builders, and running a script against a store. Not here: assertions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.runs.virtual_time import run_real, run_virtual
from cj_pipeline.services.lps.http.admission import Admission
from cj_pipeline.services.lps.providers.manifest import load_manifest
from cj_pipeline.services.lps.queue.memory import MemoryQueue
from cj_pipeline.services.lps.queue.queue import Answer, QueueLimits, RequestQueue
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest
from cj_pipeline.services.lps.queue.redis.queue import RedisQueue
from tests.services.lps.redis_server import RedisServer

TOPIC = "test.lps.v1"
REQUESTED_AT = datetime(2025, 12, 1, 14, 24, 16, 123_457, tzinfo=UTC)
LIMITS = QueueLimits(
    max_size=1000,
    max_memory_bytes=100 * 2**20,
    high_watermark=0.8,
    low_watermark=0.6,
    claim_timeout_s=300.0,
    max_attempts=4,
)
FOUR_HOURS = 4 * 3600.0

Result = TypeVar("Result")


def admission(ttl_s: float = FOUR_HOURS) -> Admission:
    """It revives requests of any provider without having one."""
    return Admission(load_manifest(), {}, {}, lambda _: ttl_s)


def request(
    number: int = 0,
    *,
    ttl_s: float = FOUR_HOURS,
    priority: int = 5,
    hint: Any = None,
    prompt: str | None = None,
    size_bytes: int = 1500,
    **overrides: Any,
) -> QueuedRequest:
    """A request accepted now. Equal numbers are the same request."""
    posted = ComparisonRequest.model_validate(
        {
            "user_prompt": f"Which essay is better, pair {number}?" if prompt is None else prompt,
            "callback_topic": TOPIC,
            "metadata": {"essay_a_id": "essay-1", "essay_b_id": "essay-2"}
            | ({} if hint is None else {"preferred_bundle_size": hint}),
            "llm_config_overrides": {"provider_override": "mock", **overrides},
        }
    )
    now = asyncio.get_running_loop().time()
    correlation_id = keyed_uuid("tests", "queue", number)
    accepted = admission(ttl_s).revive(posted, correlation_id, REQUESTED_AT, now, size_bytes)
    return replace(accepted, priority=priority)


def answer_to(request: QueuedRequest, result: str = "success", value: bytes | None = None) -> Answer:
    return Answer(
        queue_id=request.queue_id,
        correlation_id=request.correlation_id,
        topic=TOPIC,
        key=str(request.correlation_id).encode(),
        value=f"callback of {request.correlation_id}".encode() if value is None else value,
        result=result,
    )


@dataclass(frozen=True)
class Store:
    """One kind of queue. run: on virtual time where that is possible."""

    name: str
    run: Callable[[Coroutine[Any, Any, Any]], Any]
    make: Callable[[QueueLimits, str], RequestQueue]

    @property
    def module(self) -> str:
        """Where the queue and its limits are defined."""
        return f"cj_pipeline.services.lps.queue.{'memory' if self.name == 'memory' else 'redis.queue'}"

    @asynccontextmanager
    async def opened(self, **limits: Any) -> AsyncIterator[RequestQueue]:
        """A queue that nothing is in."""
        queue = self.make(replace(LIMITS, **limits), f"test:{uuid4().hex}")
        await queue.open()
        try:
            yield queue
        finally:
            await queue.close()

    def check(self, script: Callable[[RequestQueue], Coroutine[Any, Any, Result]], **limits: Any) -> Result:
        """Run a script against a fresh queue."""

        async def main() -> Result:
            # What never comes must not be waited for for ever.
            async with self.opened(**limits) as queue, asyncio.timeout(20.0):
                return await script(queue)

        result: Result = self.run(main())
        return result


def memory_store() -> Store:
    return Store("memory", run_virtual, lambda limits, _: MemoryQueue(limits))


def redis_store(server: RedisServer) -> Store:
    return Store("redis", run_real, lambda limits, prefix: redis_queue(server, prefix, limits))


def redis_queue(
    server: RedisServer, prefix: str, limits: QueueLimits = LIMITS, *, url: str | None = None
) -> RedisQueue:
    return RedisQueue(url or server.url, limits, LoopClock(), admission().revive, prefix=prefix)


class ClockAhead(LoopClock):
    """Shows what the loop's clock will show `ahead_s` later."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


async def never(awaitable: Coroutine[Any, Any, object], within_s: float = 0.05) -> bool:
    """Whether it is still waiting after a while; it is cancelled then."""
    try:
        await asyncio.wait_for(awaitable, within_s)
    except TimeoutError:
        return True
    return False


SAME = b"fingerprint of the same request"
OTHER = b"fingerprint of another"


async def fill(queue: RequestQueue, *requests: QueuedRequest) -> None:
    for one in requests:
        assert await queue.put(one, SAME)


async def order(queue: RequestQueue, how_many: int, cap: int = 1) -> list[list[object]]:
    """The correlation ids of the next bundles."""
    return [[one.correlation_id for one in await queue.claim(cap)] for _ in range(how_many)]


def ids(*requests: QueuedRequest) -> list[object]:
    return [one.correlation_id for one in requests]
