"""The stores that the tests of the queue are held to, and a Redis of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cj_pipeline.services.lps.queue.redis import queue as module
from tests.servers import needs
from tests.services.lps.queues import Store, memory_store, redis_store
from tests.services.lps.redis_server import RedisServer, redis_binary


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests of a session; each takes a prefix of its own."""
    binary = redis_binary()
    assert binary is not None
    with RedisServer(binary, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may kill."""
    binary = redis_binary()
    assert binary is not None
    with RedisServer(binary, tmp_path) as server:
        yield server


@pytest.fixture(params=["memory", needs("redis")])
def store(request: pytest.FixtureRequest) -> Store:
    return memory_store() if request.param == "memory" else redis_store(request.getfixturevalue("redis_server"))


@pytest.fixture
def quick_deaths(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance counts as dead after half a second instead of ten."""
    monkeypatch.setattr(module, "OWNER_TTL_S", 0.5)
    monkeypatch.setattr(module, "TENDING_S", 0.1)
