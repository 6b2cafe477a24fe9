"""What the tests of the Redis queue share: a fresh queue, its death, and how often Redis was asked.

Here: builders. Not here: assertions, the server (redis_server.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from cj_pipeline.services.lps.queue.redis.queue import RedisQueue
from tests.services.lps.queues import LIMITS, redis_queue
from tests.services.lps.redis_server import RedisServer

SAME = b"fingerprint"


@asynccontextmanager
async def opened(server: RedisServer, prefix: str, **limits: Any) -> Any:
    queue = redis_queue(server, prefix, replace(LIMITS, **limits))
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()


def with_queue(
    server: RedisServer, script: Callable[[RedisQueue, Any], Coroutine[Any, Any, None]], **limits: Any
) -> None:
    """Run a script with a fresh queue and a plain client of the same Redis."""

    async def main() -> None:
        prefix = f"test:{uuid4().hex}"
        async with opened(server, prefix, **limits) as queue, Redis.from_url(server.url) as client:
            await script(queue, client)

    asyncio.run(main())


async def die(queue: RedisQueue) -> None:
    """Stop without a word, as a killed process does; only the sockets are closed, for they are this process's."""
    tasks = [*queue._tasks, queue._calls._sender]
    queue._tasks, queue._calls._sender = [], None
    for task in tasks:
        assert task is not None
        task.cancel()
    await asyncio.wait(tasks)
    await queue._calls._redis.aclose()


async def scripts_run(client: Any) -> int:
    stats = await client.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))
