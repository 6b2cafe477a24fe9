"""kill -9, of the service and of its Redis: what was accepted is answered, once, and the same to everybody who asks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cj_pipeline.foundation.seeding import uniform
from tests.services.lps.lab import body, correlation_id
from tests.services.lps.redis_server import RedisServer, redis_binary
from tests.services.lps.served import Served, ticks
from tests.soak.disruptions import Disruption, Kind
from tests.soak.promises import Audit, audit
from tests.soak.soak import Findings, soak

pytestmark = pytest.mark.servers("redis")

SEED = 20
LOAD_S = 11.0
# In every 2 s one of them, at a point that the seed draws: 3 kills of the service, 2 of Redis.
STRUCK = (Kind.SERVER_KILLED, Kind.REDIS_KILLED, Kind.SERVER_KILLED, Kind.REDIS_KILLED, Kind.SERVER_KILLED)

BUNDLE = 8
ANSWER_MS = 1000


@dataclass(frozen=True)
class Cut:
    """A process that was killed at a chosen moment, and what came of its requests.

    before: callbacks at that moment; attempts: of each request, counted from 0; modes: told by the callbacks.
    """

    before: int
    audit: Audit
    statuses: Counter[str]
    attempts: list[int]
    modes: set[str]


def in_the_middle_of_the_bundle(served: Served, _: RedisServer) -> None:
    served.wait_for_callbacks(1)
    time.sleep(ANSWER_MS / 1000 * BUNDLE / 2)
    served.kill()


def as_its_callbacks_leave(served: Served, redis: RedisServer) -> None:
    # Redis first: what the bus has got since the last reply, Redis never hears of, and it leaves again.
    deadline = time.monotonic() + 20.0
    while len(served.callbacks()) < 3 and time.monotonic() < deadline:
        time.sleep(0.0002)
    redis.kill()
    time.sleep(0.05)
    served.kill()
    redis.start()


def strikes() -> list[Disruption]:
    return [
        Disruption(2.0 * (number + uniform("kill", SEED, number)), kind, 0, 0.2) for number, kind in enumerate(STRUCK)
    ]


def cut(folder: Path, size: int, kill: Callable[[Served, RedisServer], None], **settings: object) -> Cut:
    """Post one request and a bundle behind it, kill the process, and start another."""
    binary = redis_binary()
    assert binary is not None
    quick: dict[str, Any] = {"queue_backend": "redis", "queue_processing_timeout_seconds": 3, **settings}
    with (
        RedisServer(binary, folder) as redis,
        Served(folder, redis_url=redis.url, **quick) as served,
        httpx.Client(base_url=served.url, timeout=10) as client,
    ):
        # The first is alone: the others wait behind it and become the bundle.
        posted = [client.post("/api/v1/comparison", json=body(number)).json() for number in range(1 + size)]
        kill(served, redis)
        before = len(served.callbacks())
        served.start_again().wait_until_ready()
        for _ in ticks(60.0):
            told = [client.get(f"/api/v1/status/{one['queue_id']}").json() for one in posted]
            if all(one["callback_published"] for one in told):
                break
        lines = served.callbacks()
        results = {client.get(f"/api/v1/results/{one['queue_id']}").content for one in posted}
        assert results == set(lines)
        return Cut(
            before=before,
            audit=audit((str(correlation_id(number)) for number in range(1 + size)), lines),
            statuses=Counter(one["status"] for one in told),
            attempts=[one["attempts"] for one in told],
            modes={line.partition(b'"queue_processing_mode":"')[2].partition(b'"')[0].decode() for line in lines},
        )


@dataclass(frozen=True)
class Kills:
    under_load: Findings
    of_a_bundle: Cut
    of_a_job: Cut
    of_callbacks: Cut


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory) -> Kills:
    """All at the same time: they mostly wait until what a dead process held is taken over."""
    folders = [tmp_path_factory.mktemp(name) for name in ("load", "bundle", "job", "callbacks")]
    half, leaving = in_the_middle_of_the_bundle, as_its_callbacks_leave
    slow = {"mock_latency_ms": ANSWER_MS}

    async def main() -> Kills:
        cuts = asyncio.gather(
            asyncio.to_thread(cut, folders[1], BUNDLE, half, queue_processing_mode="serial_bundle", **slow),
            asyncio.to_thread(cut, folders[2], BUNDLE, half, queue_processing_mode="batch_api", **slow),
            asyncio.to_thread(cut, folders[3], 64, leaving, queue_processing_mode="serial_bundle", mock_latency_ms=5),
        )
        under_load = await soak(folders[0], LOAD_S, strikes(), seed=SEED, instances=1, at_least=51)
        return Kills(under_load, *await cuts)

    return asyncio.run(main())


def test_every_accepted_request_is_called_back_and_no_other(kills: Kills) -> None:
    found = kills.under_load.audit
    assert found.accepted > 50
    assert (found.callbacks, found.lost, found.strange) == (found.accepted, (), 0)


def test_a_callback_that_comes_again_is_the_same_to_the_byte(kills: Kills) -> None:
    assert kills.under_load.audit.differing == ()


def test_clients_have_to_repeat_posts_and_nothing_worse(kills: Kills) -> None:
    findings = kills.under_load
    assert findings.restarts >= 3
    assert findings.posts > findings.audit.accepted
    assert findings.refused == ()


def test_status_and_result_fit_the_callback(kills: Kills) -> None:
    assert kills.under_load.disagreeing == ()


def test_nothing_breaks_that_has_to_be_logged_with_a_traceback(kills: Kills) -> None:
    assert kills.under_load.tracebacks == ()


@pytest.mark.parametrize("mode", ["serial_bundle", "batch_api"])
def test_a_bundle_that_was_cut_is_answered_whole_by_the_next_process(kills: Kills, mode: str) -> None:
    killed = kills.of_a_bundle if mode == "serial_bundle" else kills.of_a_job
    # Callbacks of a bundle leave together: of this one none had.
    assert killed.before == 1
    assert (killed.audit.callbacks, killed.audit.errors, killed.audit.repeats) == (1 + BUNDLE, 0, 0)
    assert killed.audit.kept
    assert killed.statuses == {"completed": 1 + BUNDLE}
    # The first was over; each of the others had one attempt that nobody finished.
    assert killed.attempts == [0] + [1] * BUNDLE
    assert killed.modes == {mode}


def test_callbacks_that_were_leaving_leave_from_the_next_process_unchanged(kills: Kills) -> None:
    killed = kills.of_callbacks
    assert 3 <= killed.before < 65
    assert killed.audit.kept
    assert killed.statuses == {"completed": 65}
    # Those whose callback was stored are not judged again, whether the bus had it or not.
    assert killed.attempts.count(0) >= killed.before
