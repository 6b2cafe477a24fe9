"""What only a queue in Redis has: several instances, their deaths, records that outlive the code, and what it costs.

Here: instances beside each other and one after the other. Not here: what every store promises (test_queue.py), a Redis
that is away (test_redis_outages.py).
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from cj_pipeline.contracts.enums import QueueStatus
from cj_pipeline.services.lps.queue.queue import LapseKind, QueueDepth, QueueFull, QueueUnavailable
from cj_pipeline.services.lps.queue.redis import queue as module
from cj_pipeline.services.lps.queue.redis.queue import RedisQueue
from tests.house import REPOSITORY
from tests.services.lps.queues import LIMITS, ClockAhead, admission, answer_to, never, redis_queue, request
from tests.services.lps.redis_server import RedisServer
from tests.services.lps.redis_stand import SAME, die, opened, scripts_run, with_queue

# Instances


def test_two_instances_share_the_work_and_never_hold_the_same_request(redis_server: RedisServer) -> None:
    async def main() -> None:
        prefix = f"test:{uuid4().hex}"
        async with opened(redis_server, prefix) as one, opened(redis_server, prefix) as other:
            claimed: dict[RedisQueue, list[object]] = {one: [], other: []}

            async def work(queue: RedisQueue) -> None:
                while True:
                    for held in await queue.claim(3):
                        claimed[queue].append(held.queue_id)
                        assert await queue.answer(held, answer_to(held))

            async def publish(queue: RedisQueue) -> None:
                while True:
                    await queue.published(await queue.outgoing())

            tasks = [asyncio.create_task(does(queue)) for queue in (one, other) for does in (work, work, publish)]
            await asyncio.gather(*((one, other)[number % 2].put(request(number), SAME) for number in range(300)))
            async with asyncio.timeout(10.0):
                while (await one.depth()).total:
                    await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            assert min(len(claimed[one]), len(claimed[other])) > 0
            everything = claimed[one] + claimed[other]
            assert len(everything) == len(set(everything)) == 300

    asyncio.run(main())


def test_a_claimer_hears_of_what_another_instance_puts(redis_server: RedisServer) -> None:
    async def main() -> None:
        prefix = f"test:{uuid4().hex}"
        async with opened(redis_server, prefix) as one, opened(redis_server, prefix) as other:
            for number in range(5):
                waiting = asyncio.create_task(other.claim(1))
                await asyncio.sleep(0.05)
                await one.put(request(number), SAME)
                # Far less than the 3 s until the next tending.
                (held,) = await asyncio.wait_for(waiting, 0.5)
                assert held.correlation_id == request(number).correlation_id

    asyncio.run(main())


def test_capacity_and_repetitions_count_for_all_instances_together(redis_server: RedisServer) -> None:
    async def main() -> None:
        prefix = f"test:{uuid4().hex}"
        async with (
            opened(redis_server, prefix, max_size=4) as one,
            opened(redis_server, prefix, max_size=4) as other,
        ):
            assert [await one.put(request(n), SAME) for n in range(2)] == [True, True]
            assert [await other.put(request(n), SAME) for n in range(4)] == [False, False, True, True]
            with pytest.raises(QueueFull):
                await one.put(request(4), SAME)
            assert await one.depth() == await other.depth() == QueueDepth(queued=4, total=4, memory_bytes=6000)

    asyncio.run(main())


@pytest.mark.usefixtures("quick_deaths")
def test_what_a_dead_instance_held_is_taken_over(redis_server: RedisServer) -> None:
    async def main() -> None:
        prefix = f"test:{uuid4().hex}"
        async with opened(redis_server, prefix) as heir:
            dead = redis_queue(redis_server, prefix)
            await dead.open()
            for number in range(6):
                await dead.put(request(number), SAME)
            answered, lost = (await dead.claim(3)), (await dead.claim(2))
            answers = [answer_to(one, value=f"answer {n}".encode()) for n, one in enumerate(answered)]
            for one, answer in zip(answered, answers, strict=True):
                assert await dead.answer(one, answer)
            await die(dead)
            began = asyncio.get_running_loop().time()
            assert await asyncio.wait_for(heir.outgoing(), 2.0) == tuple(answers)
            lapses = [await asyncio.wait_for(heir.lapsed(), 2.0) for _ in lost]
            assert 0.3 < asyncio.get_running_loop().time() - began < 1.5
            assert {(lapse.kind, lapse.request.queue_id) for lapse in lapses} == {
                (LapseKind.RECLAIMED, one.queue_id) for one in lost
            }
            members = await heir.claim(64)
            assert [(one.queue_id, one.attempts) for one in members] == [
                (request(3).queue_id, 1),
                (request(4).queue_id, 1),
                (request(5).queue_id, 0),
            ]
            await heir.published(answers)
            assert await heir.depth() == QueueDepth(queued=0, total=3, memory_bytes=4500)

    asyncio.run(main())


@pytest.mark.usefixtures("quick_deaths")
def test_an_instance_that_is_alive_keeps_what_it_holds(redis_server: RedisServer) -> None:
    async def main() -> None:
        prefix = f"test:{uuid4().hex}"
        async with opened(redis_server, prefix) as holder, opened(redis_server, prefix) as other:
            for number in range(2):
                await holder.put(request(number), SAME)
            first, second = await holder.claim(2)
            assert await holder.answer(first, answer_to(first))
            assert await never(other.lapsed(), 1.2)
            assert await never(other.outgoing())
            assert await holder.answer(second, answer_to(second))

    asyncio.run(main())


def test_what_a_closed_instance_held_is_taken_over_at_once(redis_server: RedisServer) -> None:
    async def main() -> None:
        prefix = f"test:{uuid4().hex}"
        async with opened(redis_server, prefix) as first:
            await first.put(request(0), SAME)
            (held,) = await first.claim(1)
        async with opened(redis_server, prefix) as second:
            (again,) = await asyncio.wait_for(second.claim(1), 1.0)
            assert (again.queue_id, again.attempts) == (held.queue_id, 1)

    asyncio.run(main())


@pytest.mark.usefixtures("quick_deaths")
def test_after_an_outage_everybody_has_time_to_show_that_he_is_alive(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_S", 1.2)

    async def main() -> None:
        prefix = f"test:{uuid4().hex}"
        async with opened(redis_server, prefix) as other:
            silent = redis_queue(redis_server, prefix)
            await silent.open()
            await silent.put(request(0), SAME)
            await silent.claim(1)
            await die(silent)
            other._calls.back_since = asyncio.get_running_loop().time()  # its own connection has just come back
            assert await never(other.lapsed(), 1.0)
            assert (await asyncio.wait_for(other.lapsed(), 1.0)).kind is LapseKind.RECLAIMED

    asyncio.run(main())


HOLDER = """
import asyncio, sys
from tests.services.lps.queues import answer_to, redis_queue, request
from types import SimpleNamespace

async def main():
    queue = redis_queue(SimpleNamespace(url=sys.argv[1]), sys.argv[2])
    await queue.open()
    for number in range(5):
        await queue.put(request(number), b"fingerprint")
    answered, _ = await queue.claim(2)
    await queue.answer(answered, answer_to(answered))
    print("holding", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.usefixtures("quick_deaths")
def test_a_killed_process_leaves_nothing_behind_that_its_successor_does_not_find(redis_server: RedisServer) -> None:
    prefix = f"test:{uuid4().hex}"
    patched = (
        "import cj_pipeline.services.lps.queue.redis.queue as q; q.OWNER_TTL_S = 0.5; q.TENDING_S = 0.1\n" + HOLDER
    )
    command = [sys.executable, "-c", patched, redis_server.url, prefix]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holding\n"
        process.send_signal(signal.SIGKILL)

    async def main() -> None:
        async with opened(redis_server, prefix) as queue:
            answers = await asyncio.wait_for(queue.outgoing(), 2.0)
            assert [answer.queue_id for answer in answers] == [request(0).queue_id]
            assert (await asyncio.wait_for(queue.lapsed(), 2.0)).request.queue_id == request(1).queue_id
            members = await queue.claim(64)
            assert [one.queue_id for one in members] == [request(number).queue_id for number in (1, 2, 3, 4)]
            assert await queue.put(request(0), SAME) is False

    asyncio.run(main())


# Records


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: b"not a record",
        lambda record: record[:40],
        lambda record: record.replace(b'"version": 1', b'"version": 2'),
        lambda record: record.replace(b"user_prompt", b"other_field"),
        lambda record: record.replace(b'"provider_override":"mock",', b""),
        lambda record: re.sub(rb'"correlation_id": "[^"]*"', b'"correlation_id": "%s"' % str(uuid4()).encode(), record),
    ],
    ids=["garbage", "cut off", "another version", "field missing", "no provider", "of another request"],
)
def test_a_record_that_cannot_be_read_holds_nobody_up(
    damage: Callable[[bytes], bytes], redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(queue: RedisQueue, client: Any) -> None:
        broken = str(request(0).queue_id)
        await queue.put(request(0, prompt="the essay of a pupil", temperature_override=1.0), SAME)
        await queue.put(request(1), SAME)
        record = await client.hget(f"{queue._prefix}:data", broken)
        damaged = damage(record)
        assert damaged != record
        await client.hset(f"{queue._prefix}:data", broken, damaged)
        assert [one.queue_id for one in await asyncio.wait_for(queue.claim(1), 1.0)] == [request(1).queue_id]
        assert await queue.depth() == QueueDepth(queued=0, total=1, memory_bytes=1500)
        assert queue.broken == 1
        assert await client.hgetall(f"{queue._prefix}:broken") == {broken.encode(): damaged}
        assert await queue.lookup(request(0).queue_id) is None

    with caplog.at_level(logging.DEBUG):
        with_queue(redis_server, script)
    assert str(request_id_in(caplog)) in caplog.text
    assert "pupil" not in caplog.text


def request_id_in(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    return str(record.args[0]) if isinstance(record.args, tuple) else ""


def test_a_request_whose_state_is_gone_holds_nobody_up(redis_server: RedisServer) -> None:
    async def script(queue: RedisQueue, client: Any) -> None:
        for number in range(2):
            await queue.put(request(number), SAME)
        await client.delete(f"{queue._prefix}:request:{request(0).queue_id}")
        assert [one.queue_id for one in await asyncio.wait_for(queue.claim(5), 1.0)] == [request(1).queue_id]
        assert (await queue.depth()).total == 1
        assert await client.hexists(f"{queue._prefix}:broken", str(request(0).queue_id))

    with_queue(redis_server, script)


def test_a_key_of_the_wrong_kind_fails_only_the_calls_that_need_it(redis_server: RedisServer) -> None:
    async def script(queue: RedisQueue, client: Any) -> None:
        await queue.put(request(0), SAME)
        (held,) = await queue.claim(1)
        await client.set(f"{queue._prefix}:request:{request(1).queue_id}", "somebody else's")
        refused, answered = await asyncio.gather(
            queue.put(request(1), SAME), queue.answer(held, answer_to(held)), return_exceptions=True
        )
        assert isinstance(refused, QueueUnavailable)
        assert "WRONGTYPE" in str(refused)
        assert answered is True

    with_queue(redis_server, script)


def test_a_claim_never_has_a_request_whose_time_has_passed_before_anybody_saw_to_it(redis_server: RedisServer) -> None:
    async def main() -> None:
        clock = ClockAhead()
        queue = RedisQueue(redis_server.url, LIMITS, clock, admission().revive, prefix=f"test:{uuid4().hex}")
        await queue.open()
        try:
            for number, ttl_s in enumerate([100.0, 1000.0, 100.0, 1000.0]):
                await queue.put(request(number, ttl_s=ttl_s), SAME)
            clock.ahead_s = 200.0  # its tending goes by the loop, and rings in 100 s
            members = await asyncio.wait_for(queue.claim(64), 1.0)
            assert [one.queue_id for one in members] == [request(1).queue_id, request(3).queue_id]
            assert (await queue.depth()).queued == 2
        finally:
            await queue.close()

    asyncio.run(main())


# What it costs


def test_calls_made_together_go_together(redis_server: RedisServer) -> None:
    async def script(queue: RedisQueue, client: Any) -> None:
        before = await scripts_run(client)
        await asyncio.gather(*(queue.put(request(number), SAME) for number in range(32)))
        assert await scripts_run(client) - before <= 2
        held = await queue.claim(32)
        before = await scripts_run(client)
        await asyncio.gather(*(queue.answer(one, answer_to(one)) for one in held))
        assert await scripts_run(client) - before <= 2

    with_queue(redis_server, script)


def test_an_idle_queue_sends_nothing(redis_server: RedisServer) -> None:
    async def script(queue: RedisQueue, client: Any) -> None:
        claims = [asyncio.create_task(queue.claim(1)) for _ in range(8)]
        await asyncio.sleep(0.2)
        before = await scripts_run(client)
        await asyncio.sleep(0.5)
        assert await scripts_run(client) == before
        for claim in claims:
            claim.cancel()

    with_queue(redis_server, script)


def test_a_refused_request_leaves_no_trace(redis_server: RedisServer) -> None:
    async def script(queue: RedisQueue, client: Any) -> None:
        await queue.put(request(0), SAME)
        before = sorted(await client.keys(f"{queue._prefix}:*"))
        with pytest.raises(QueueFull):
            await queue.put(request(1), SAME)
        assert sorted(await client.keys(f"{queue._prefix}:*")) == before
        assert await client.hlen(f"{queue._prefix}:data") == 1

    with_queue(redis_server, script, max_size=1)


def test_what_is_over_expires_by_itself(redis_server: RedisServer) -> None:
    async def script(queue: RedisQueue, client: Any) -> None:
        await queue.put(request(0), SAME)
        (one,) = await queue.claim(1)
        await queue.answer(one, answer_to(one))
        state, callback = (f"{queue._prefix}:{kind}:{one.queue_id}" for kind in ("request", "callback"))
        assert (await client.ttl(state), await client.ttl(callback)) == (-1, -1)  # not before the bus has it
        await queue.published(await queue.outgoing())
        four_hours = 4 * 3600
        assert four_hours - 5 < await client.ttl(state) <= four_hours
        assert four_hours - 5 < await client.ttl(callback) <= four_hours
        await client.delete(state, callback)  # as if the four hours had passed
        assert await queue.put(request(0), b"another one")
        known = await queue.lookup(one.queue_id)
        assert known is not None
        assert known.status is QueueStatus.QUEUED

    with_queue(redis_server, script)
