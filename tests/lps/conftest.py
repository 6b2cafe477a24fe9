"""A Redis of one's own for the tests of the queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lps.redis_server import RedisServer, redis_binary


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests of a session; each takes a prefix of its own."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("redis-server is not installed")
    with RedisServer(binary, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may kill."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("redis-server is not installed")
    with RedisServer(binary, tmp_path) as server:
        yield server
