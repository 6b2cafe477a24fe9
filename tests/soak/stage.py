"""This module runs the processes of a soak: a Redis, instances of the service, and a supervisor that restarts them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.services.lps.redis_server import RedisServer, redis_binary
from tests.services.lps.served import Served

# Quick enough for a test: a claim that nobody renews is taken back after 2 s, and no request runs out of attempts.
QUICK: dict[str, object] = {
    "queue_processing_timeout_seconds": 2,
    "queue_max_retries": 50,
    "queue_retry_backoff_seconds": 0.05,
    "shutdown_drain_seconds": 5,
    # At 60 posts a second 7 requests are being answered at any moment.
    "llm_max_concurrent_requests": 16,
    "mock_latency_ms": 20,
    "mock_latency_jitter_ms": 180,
    "mock_error_rate": 0.05,
    "mock_error_codes": 500,
}
_LOOKS_EVERY_S = 0.05


class Stage:
    """A Redis that syncs every write, and so many instances on it, while it is entered."""

    def __init__(self, folder: Path, instances: int, **settings: object) -> None:
        binary = redis_binary()
        assert binary is not None, "redis-server is not installed"
        store = folder / "redis"
        store.mkdir()
        self.redis = RedisServer(binary, store)
        self.instances: list[Served] = []
        self._folder = folder
        self._names = [f"instance-{number}" for number in range(instances)]
        self._settings = QUICK | {"queue_backend": "redis", "redis_url": self.redis.url} | settings
        self._supervisor: asyncio.Task[None] | None = None
        self.starts = 0
        """How often an instance was started again."""

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self.redis.start)
            self.instances = [Served(self._folder, name, **self._settings) for name in self._names]
            for served in self.instances:
                await asyncio.to_thread(served.wait_until_ready)
        except BaseException:
            self._kill_all()
            raise
        self._supervisor = asyncio.create_task(self._keep_alive())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._supervisor is not None
        self._supervisor.cancel()
        await asyncio.wait([self._supervisor])
        self._kill_all()

    @property
    def callbacks(self) -> Path:
        """Of all instances."""
        return self.instances[0].folder

    @property
    def urls(self) -> list[str]:
        return [served.url for served in self.instances]

    def tracebacks(self) -> list[str]:
        """What was logged with one, and what is no log line; there should be nothing."""
        return [found for served in self.instances for line in served.log.splitlines() for found in _traceback(line)]

    async def _keep_alive(self) -> None:
        # One that finds Redis away at its start ends too, and is started again until it does not.
        while True:
            await asyncio.sleep(_LOOKS_EVERY_S)
            for served in self.instances:
                if served.ended:
                    served.kill()
                    served.start_again()
                    self.starts += 1

    def _kill_all(self) -> None:
        for served in self.instances:
            served.kill()
        self.redis.kill()


def _traceback(line: str) -> Iterator[str]:
    if line.startswith("error: "):
        return  # the one sentence of an instance that found Redis away at its start
    try:
        told = json.loads(line)
    except ValueError:
        if not line.startswith("{"):  # otherwise cut by a kill
            yield line
        return
    if told.get("exc_info") or told.get("traceback"):
        yield f"{told['event']}\n{told.get('exc_info') or told.get('traceback')}"
