"""A Redis that is killed, frozen, restarted or flushed of its scripts, and replies that are lost on the way.

Here: Redis itself and the line to it. Not here: several instances (test_redis_queue.py), what every store promises
(test_queue.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from cj_pipeline.services.lps.queue.queue import LapseKind, QueueDepth, QueueUnavailable
from cj_pipeline.services.lps.queue.redis.queue import RedisQueue
from tests.services.lps.queues import answer_to, never, redis_queue, request
from tests.services.lps.redis_server import RedisServer
from tests.services.lps.redis_stand import SAME, opened, with_queue

# Outages


def test_nothing_accepted_is_lost_when_redis_is_killed(own_redis: RedisServer) -> None:
    async def main() -> None:
        async with opened(own_redis, "test") as queue:
            accepted: list[int] = []

            async def post(number: int) -> None:
                while True:
                    try:
                        await queue.put(request(number), SAME)
                    except QueueUnavailable:
                        continue
                    accepted.append(number)
                    return

            answered: set[object] = set()

            async def work() -> None:
                while True:
                    for one in await queue.claim(5):
                        assert await queue.answer(one, answer_to(one))
                        answered.add(one.queue_id)

            posts = [asyncio.create_task(post(number)) for number in range(300)]
            worker = asyncio.create_task(work())
            while len(answered) < 20:
                await asyncio.sleep(0)
            own_redis.kill()
            assert len(answered) < 300
            await asyncio.sleep(0.2)
            await asyncio.to_thread(own_redis.start)
            await asyncio.gather(*posts)
            published: list[object] = []
            while len(published) < 300:
                answers = await asyncio.wait_for(queue.outgoing(), 5.0)
                await queue.published(answers)
                published += [answer.queue_id for answer in answers]
            worker.cancel()
            assert len(accepted) == 300
            assert sorted(map(str, published)) == sorted(str(request(n).queue_id) for n in range(300))
            assert await queue.depth() == QueueDepth(queued=0, total=0, memory_bytes=0)

    asyncio.run(main())


def test_an_outage_refuses_what_can_be_told_and_holds_up_the_rest(own_redis: RedisServer) -> None:
    async def main() -> None:
        async with opened(own_redis, "test") as queue:
            loop = asyncio.get_running_loop()
            await queue.put(request(0), SAME)
            (held,) = await queue.claim(1)
            own_redis.kill()
            began = loop.time()
            outcomes = await asyncio.gather(
                queue.put(request(1), SAME), queue.lookup(held.queue_id), queue.depth(), return_exceptions=True
            )
            assert [type(outcome) for outcome in outcomes] == [QueueUnavailable] * 3
            assert 0.5 < loop.time() - began < 1.5
            answering = asyncio.create_task(queue.answer(held, answer_to(held)))
            claiming = asyncio.create_task(queue.claim(1))
            await asyncio.sleep(0.2)
            assert not answering.done()
            assert not claiming.done()
            await asyncio.to_thread(own_redis.start)
            assert await asyncio.wait_for(answering, 5.0)
            assert len(await queue.outgoing()) == 1
            # What was refused was not accepted behind its client's back.
            assert await queue.lookup(request(1).queue_id) is None
            assert await queue.put(request(1), SAME)
            assert [one.queue_id for one in await asyncio.wait_for(claiming, 5.0)] == [request(1).queue_id]

    asyncio.run(main())


def test_a_redis_that_hangs_is_an_outage_too(own_redis: RedisServer) -> None:
    async def main() -> None:
        async with opened(own_redis, "test") as queue:
            await queue.put(request(0), SAME)
            (held,) = await queue.claim(1)
            own_redis.freeze()
            try:
                answering = asyncio.create_task(queue.answer(held, answer_to(held)))
                with pytest.raises(QueueUnavailable):
                    await queue.put(request(1), SAME)
            finally:
                own_redis.thaw()
            assert await asyncio.wait_for(answering, 5.0)
            assert await queue.put(request(1), SAME) in (True, False)
            assert (await queue.depth()).total == 2

    asyncio.run(main())


@pytest.mark.parametrize("url", ["redis://someone:s3cret@127.0.0.1:1/0", "redis://:s3cret@no-such-host.invalid:6379/0"])
def test_opening_without_redis_says_so_and_not_the_password(url: str, redis_server: RedisServer) -> None:
    async def main() -> None:
        queue = redis_queue(redis_server, "test", url=url)
        with pytest.raises(QueueUnavailable, match="Redis cannot be reached") as raised:
            await queue.open()
        assert "s3cret" not in str(raised.value)
        await queue.close()

    asyncio.run(main())


def test_a_redis_that_forgot_its_scripts_is_given_them_again(redis_server: RedisServer) -> None:
    async def script(queue: RedisQueue, client: Any) -> None:
        await queue.put(request(0), SAME)
        await client.script_flush()
        assert await queue.put(request(1), SAME)
        assert len(await queue.claim(2)) == 2

    with_queue(redis_server, script)


# Replies that are lost


class LossyScript:
    """Runs the script every time; some of its replies are lost, as by a connection that breaks."""

    def __init__(self, script: Any) -> None:
        self._script = script
        self._to_lose: dict[str, int] = {}
        self.lost: list[str] = []
        self.on_claimed: Callable[[], object] = lambda: None

    def lose(self, call: str, times: int) -> None:
        """The next replies to scripts with such a call."""
        self._to_lose[call] = times

    async def __call__(self, *, keys: list[str], args: list[Any]) -> object:
        reply = await self._script(keys=keys, args=args)
        for call, times in self._to_lose.items():
            if times and call in args:
                self._to_lose[call] -= 1
                self.lost.append(call)
                raise RedisConnectionError("lost")
        if "claim" in args:
            self.on_claimed()
        return reply


def lossy(queue: RedisQueue) -> LossyScript:
    script = LossyScript(queue._calls._script)
    queue._calls._script = script  # type: ignore[assignment]
    return script


@pytest.mark.parametrize("losses", [1, 2])
def test_a_call_whose_reply_is_lost_takes_effect_once(losses: int, redis_server: RedisServer) -> None:
    async def script(queue: RedisQueue, _: Any) -> None:
        script_calls = lossy(queue)
        script_calls.lose("put", losses)
        assert await queue.put(request(0), SAME) is True
        await queue.put(request(1), SAME)
        script_calls.lose("claim", losses)
        held = await queue.claim(2)
        assert [one.queue_id for one in held] == [request(0).queue_id, request(1).queue_id]
        assert (await queue.depth()).queued == 0
        script_calls.lose("retry", losses)
        await queue.retry(held[0], 0.0)
        (again,) = await queue.claim(1)
        assert again.attempts == 1
        script_calls.lose("answer", losses)
        assert await queue.answer(again, answer_to(again)) is True
        script_calls.lose("release", losses)
        await queue.release([held[1]])
        assert await queue.depth() == QueueDepth(queued=1, total=2, memory_bytes=3000)
        answers = await queue.outgoing()
        assert len(answers) == 1
        script_calls.lose("published", losses)
        await queue.published(answers)
        assert await queue.depth() == QueueDepth(queued=1, total=1, memory_bytes=1500)
        assert await never(queue.outgoing())
        calls = ["put", "claim", "retry", "answer", "release", "published"]
        assert script_calls.lost == [call for call in calls for _ in range(losses)]

    with_queue(redis_server, script)


def test_the_callbacks_and_lapses_of_a_lost_reply_are_not_lost(redis_server: RedisServer) -> None:
    async def main() -> None:
        prefix = f"test:{uuid4().hex}"
        async with opened(redis_server, prefix) as first:
            for number in range(3):
                await first.put(request(number, ttl_s=0.2 if number == 2 else 3600.0), SAME)
            held = await first.claim(2)
            await first.answer(held[0], answer_to(held[0]))
        await asyncio.sleep(0.2)
        second = redis_queue(redis_server, prefix)
        await second._calls.open()
        lossy(second).lose("tend", 2)
        try:
            reply = await second._calls.submit("tend", 1, then=second._on_tended)
            assert reply[1] == 3
            assert [answer.queue_id for answer in await second.outgoing()] == [held[0].queue_id]
            lapses = [await second.lapsed() for _ in range(2)]
            assert {(lapse.kind, lapse.request.queue_id) for lapse in lapses} == {
                (LapseKind.RECLAIMED, request(1).queue_id),
                (LapseKind.EXPIRED, request(2).queue_id),
            }
            assert await never(second.lapsed())
        finally:
            await second.close()

    asyncio.run(main())


def test_a_claim_cancelled_while_its_reply_is_lost_is_given_back(redis_server: RedisServer) -> None:
    async def script(queue: RedisQueue, _: Any) -> None:
        await queue.put(request(0), SAME)
        script_calls = lossy(queue)
        script_calls.lose("claim", 1)
        claiming = asyncio.create_task(queue.claim(1))
        while not script_calls.lost:
            await asyncio.sleep(0)
        claiming.cancel()
        (again,) = await asyncio.wait_for(queue.claim(1), 1.0)
        assert (again.queue_id, again.attempts) == (request(0).queue_id, 0)

    with_queue(redis_server, script)


def test_a_claim_cancelled_in_the_very_turn_in_which_its_reply_comes_is_given_back(redis_server: RedisServer) -> None:
    async def script(queue: RedisQueue, _: Any) -> None:
        await queue.put(request(0), SAME)
        script_calls = lossy(queue)
        claiming = asyncio.create_task(queue.claim(1))
        script_calls.on_claimed = claiming.cancel
        await asyncio.wait([claiming])
        assert claiming.cancelled()
        (again,) = await asyncio.wait_for(queue.claim(1), 1.0)
        assert (again.queue_id, again.attempts) == (request(0).queue_id, 0)

    with_queue(redis_server, script)


def test_a_script_that_arrives_after_its_successor_does_nothing(redis_server: RedisServer) -> None:
    async def script(queue: RedisQueue, client: Any) -> None:
        await queue.put(request(0), SAME)
        head = queue._head(queue._calls._number - 1)
        with pytest.raises(Exception, match="OUTDATED"):
            await client.execute_command("EVALSHA", queue._calls._script.sha, 1, queue._prefix, *head, "claim", 1, 5)
        assert (await queue.depth()).queued == 1

    with_queue(redis_server, script)


def test_an_error_that_nobody_thought_of_is_told_and_holds_nobody_up_for_ever(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(queue: RedisQueue, _: Any) -> None:
        real = queue._calls._script
        errors = iter([TypeError("the essay of a pupil"), TypeError("again")])

        async def broken(**given: Any) -> object:
            reply = await real(**given)
            for error in errors:
                raise error
            return reply

        queue._calls._script = broken  # type: ignore[assignment]
        assert await asyncio.wait_for(queue.put(request(0), SAME), 5.0) is True
        assert [one.queue_id for one in await queue.claim(1)] == [request(0).queue_id]

    with_queue(redis_server, script)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert told == ["a call of the queue broke on the way (TypeError); trying again"] * 2
    assert "pupil" not in caplog.text
