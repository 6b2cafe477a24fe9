"""kill -9 of a served process while a provider works on its job: the next process gets the answers, paid for once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.shared.http_server import HttpServer, bound
from tests.services.lps.lab import body, correlation_id
from tests.services.lps.providers.batches.fake_batches import FAKES, FakeBatches, answered
from tests.services.lps.providers.batches.stand import BOTH
from tests.services.lps.providers.fake_api import KEYS
from tests.services.lps.providers.stand import MODELS
from tests.services.lps.redis_server import RedisServer, redis_binary
from tests.services.lps.served import Served, ticks
from tests.soak.promises import audit

COUNT = 6


@contextmanager
def local_provider(provider: Provider, takes: timedelta) -> Iterator[tuple[str, FakeBatches]]:
    """(base URL, fake) of a provider on this machine, on a thread of its own."""
    fake = FAKES[provider](lambda: datetime.now(UTC), answered, takes)
    server = HttpServer(fake.app())
    listening = bound("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
    thread.start()
    try:
        yield url, fake
    finally:
        server.stop()
        thread.join()
        listening.close()


def settings(provider: Provider, url: str, folder: Path) -> dict[str, Any]:
    name = provider.value
    return {
        f"{name}_base_url": url,
        f"{name}_api_key": KEYS[provider],
        "queue_processing_mode": "batch_api",
        "batch_api_mode": "opportunistic",
        "batch_api_linger_seconds": 0.5,
        "batch_api_endpoint": "provider",
        "batch_api_jobs_path": folder / "jobs",
        "batch_api_poll_seconds": 0.2,
    }


def post(client: httpx.Client, provider: Provider) -> None:
    for number in range(COUNT):
        comparison = body(number, provider_override=provider.value, model_override=MODELS[provider])
        assert client.post("/api/v1/comparison", json=comparison).status_code == 202


def wait_until_submitted(fake: FakeBatches) -> None:
    for _ in ticks(20.0):
        if len(fake.submitted) == COUNT:
            time.sleep(0.3)  # its id is stored by then
            return
    raise AssertionError("nothing was submitted")


def test_with_the_queue_in_memory_the_client_posts_again(tmp_path: Path) -> None:
    provider = Provider.OPENAI
    with (
        local_provider(provider, timedelta(seconds=3)) as (url, fake),
        Served(tmp_path, **settings(provider, url, tmp_path)) as served,
    ):
        with httpx.Client(base_url=served.url) as client:
            post(client, provider)
        wait_until_submitted(fake)
        served.kill()
        assert served.callbacks() == []
        served.start_again().wait_until_ready()
        with httpx.Client(base_url=served.url) as client:
            post(client, provider)
        lines = served.wait_for_callbacks(COUNT)
    assert_paid_once(fake, lines)
    assert "a job is open; it goes on when its requests come back" in served.log


@pytest.mark.servers("redis")
@pytest.mark.parametrize("provider", BOTH)
def test_with_the_queue_in_redis_nobody_notices(provider: Provider, tmp_path: Path) -> None:
    binary = redis_binary()
    assert binary is not None
    with (
        RedisServer(binary, tmp_path) as redis,
        local_provider(provider, timedelta(seconds=3)) as (url, fake),
        Served(tmp_path, **settings(provider, url, tmp_path), queue_backend="redis", redis_url=redis.url) as served,
    ):
        with httpx.Client(base_url=served.url) as client:
            post(client, provider)
        wait_until_submitted(fake)
        served.kill()
        served.start_again().wait_until_ready()
        lines = served.wait_for_callbacks(COUNT, within_s=60.0)
    assert_paid_once(fake, lines)


def assert_paid_once(fake: FakeBatches, lines: list[bytes]) -> None:
    assert set(Counter(fake.submitted).values()) == {1}
    assert len(fake.submitted) == COUNT
    found = audit((str(correlation_id(number)) for number in range(COUNT)), lines)
    assert found.kept, found
    assert (found.callbacks, found.errors) == (COUNT, 0)
