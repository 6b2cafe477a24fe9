"""What every store of requests promises from the claim on, held for each of them.

Here: times to live, retries, claims that run out, callbacks, cancellation; one fact a test. Not here: putting and
claiming (test_queue.py), long random lives (test_queue_model.py), what only Redis has (test_redis_queue.py).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cj_pipeline.contracts.enums import QueueStatus
from cj_pipeline.services.lps.queue.queue import Known, LapseKind, QueueDepth, RequestQueue
from tests.services.lps.queues import (
    SAME,
    Store,
    answer_to,
    fill,
    ids,
    never,
    order,
    request,
)

# Time


def test_a_request_whose_time_passes_lapses_once_and_is_claimed(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0, ttl_s=0.05), request(1))
        await asyncio.sleep(0.1)
        assert ids(*await queue.claim(64)) == ids(request(1))
        lapse = await asyncio.wait_for(queue.lapsed(), 1.0)
        assert (lapse.kind, lapse.request.correlation_id) == (LapseKind.EXPIRED, request(0).correlation_id)
        assert 0.05 <= lapse.age_s < 1.0
        assert await never(queue.lapsed())
        assert await queue.answer(lapse.request, answer_to(lapse.request, "expired"))
        known = await queue.lookup(lapse.request.queue_id)
        assert known is not None
        assert known.status is QueueStatus.EXPIRED

    store.check(script)


def test_a_request_that_waits_for_its_next_attempt_expires_too(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0, ttl_s=0.1))
        (one,) = await queue.claim(1)
        await queue.retry(one, 3600.0)
        lapse = await asyncio.wait_for(queue.lapsed(), 1.0)
        assert (lapse.kind, lapse.request.attempts) == (LapseKind.EXPIRED, 1)

    store.check(script)


def test_what_is_being_answered_does_not_expire(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0, ttl_s=0.05))
        (one,) = await queue.claim(1)
        assert await never(queue.lapsed(), 0.15)
        assert await queue.answer(one, answer_to(one))

    store.check(script)


def test_a_retry_keeps_its_place_and_counts_the_attempt(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0), request(1), request(2))
        (first,) = await queue.claim(1)
        await queue.retry(replace(first, worked_s=1.25), 0.0)
        await asyncio.sleep(0.001)  # a delay of 0 s may end with the next turn of the loop
        again, second, third = [(await queue.claim(1))[0] for _ in range(3)]
        assert ids(again, second, third) == ids(request(0), request(1), request(2))
        assert (again.attempts, again.worked_s) == (1, 1.25)

    store.check(script)


def test_a_retry_waits_its_delay_and_nobody_waits_for_it(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0), request(1))
        (first,) = await queue.claim(1)
        await queue.retry(first, 0.1)
        assert (await queue.depth()).queued == 2
        assert ids(*await queue.claim(64)) == ids(request(1))
        began = asyncio.get_running_loop().time()
        assert ids(*await queue.claim(64)) == ids(first)
        assert 0.05 < asyncio.get_running_loop().time() - began < 0.5

    store.check(script)


def test_what_is_held_waits_its_delay_and_has_no_attempt_more(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0), request(1))
        (held,) = await queue.claim(1)
        await queue.hold(replace(held, worked_s=0.25), 0.2)
        assert await order(queue, 1) == [ids(request(1))]
        (again,) = await queue.claim(1)
        assert again.correlation_id == held.correlation_id
        assert (again.attempts, again.worked_s) == (0, 0.25)

    store.check(script)


def test_what_is_held_expires_too(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0, ttl_s=0.3))
        (held,) = await queue.claim(1)
        await queue.hold(held, 60.0)
        lapse = await queue.lapsed()
        assert (lapse.kind, lapse.request.attempts) == (LapseKind.EXPIRED, 0)

    store.check(script)


def test_what_is_released_is_as_it_was(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0), request(1), request(2))
        await queue.release(await queue.claim(2))
        assert await queue.depth() == QueueDepth(queued=3, total=3, memory_bytes=4500)
        members = await queue.claim(64)
        assert ids(*members) == ids(request(0), request(1), request(2))
        assert [one.attempts for one in members] == [0, 0, 0]

    store.check(script)


def test_a_claim_that_runs_out_goes_back_to_its_place(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0), request(1))
        (lost,) = await queue.claim(1)
        lapse = await asyncio.wait_for(queue.lapsed(), 2.0)
        assert (lapse.kind, lapse.request.queue_id) == (LapseKind.RECLAIMED, lost.queue_id)
        (again,) = await queue.claim(1)
        assert (again.queue_id, again.attempts) == (lost.queue_id, 1)
        assert await queue.answer(lost, answer_to(lost, value=b"late")) is False
        assert await queue.answer(again, answer_to(again, value=b"in time"))
        assert [answer.value for answer in await queue.outgoing()] == [b"in time"]

    store.check(script, claim_timeout_s=0.15)


def test_the_holder_of_a_lost_claim_can_do_nothing_with_it(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0))
        (lost,) = await queue.claim(1)
        await asyncio.wait_for(queue.lapsed(), 2.0)
        (again,) = await queue.claim(1)
        await queue.retry(lost, 0.0)
        await queue.release([lost])
        await queue.renew([lost])
        assert await never(queue.claim(1))
        known = await queue.lookup(again.queue_id)
        assert known is not None
        assert (known.status, known.attempts) == (QueueStatus.PROCESSING, 1)

    store.check(script, claim_timeout_s=0.3)


def test_a_claim_that_runs_out_once_too_often_is_given_up(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0))
        lapses = []
        for _ in range(2):
            await queue.claim(1)
            lapses.append(await asyncio.wait_for(queue.lapsed(), 2.0))
        assert [(lapse.kind, lapse.request.attempts) for lapse in lapses] == [
            (LapseKind.RECLAIMED, 1),
            (LapseKind.GIVEN_UP, 2),
        ]
        assert (await queue.depth()).queued == 0
        assert await queue.answer(lapses[-1].request, answer_to(lapses[-1].request, "expired"))

    store.check(script, claim_timeout_s=0.1, max_attempts=2)


def test_renewing_keeps_a_claim(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0), request(1))
        held = await queue.claim(2)
        for _ in range(4):
            await asyncio.sleep(0.1)
            await queue.renew(held)
        assert [await queue.answer(one, answer_to(one)) for one in held] == [True, True]
        assert await never(queue.lapsed())

    store.check(script, claim_timeout_s=0.25)


# Callbacks


def test_callbacks_come_in_the_order_of_their_answers(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await asyncio.gather(*(queue.put(request(number), SAME) for number in range(20)))
        held = list(await queue.claim(20))
        answers = [answer_to(one, result) for one, result in zip(held[::-1], ["success", "failure"] * 10, strict=True)]
        await asyncio.gather(*(queue.answer(one, answer) for one, answer in zip(held[::-1], answers, strict=True)))
        out: list[object] = []
        while len(out) < 20:
            out += await queue.outgoing()
        assert out == answers

    store.check(script)


def test_a_callback_comes_once(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0))
        (one,) = await queue.claim(1)
        assert await queue.answer(one, answer_to(one))
        assert await queue.answer(one, answer_to(one)) is False
        assert len(await queue.outgoing()) == 1
        assert await never(queue.outgoing())

    store.check(script)


def test_what_is_known_follows_a_request_through_its_life(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        one = request(0)

        def known(status: QueueStatus, attempts: int, published: bool = False, callback: bytes | None = None) -> Known:
            return Known(one.queue_id, one.correlation_id, status, attempts, published, callback)

        assert await queue.lookup(one.queue_id) is None
        await fill(queue, one)
        assert await queue.lookup(one.queue_id) == known(QueueStatus.QUEUED, 0)
        (held,) = await queue.claim(1)
        assert await queue.lookup(one.queue_id) == known(QueueStatus.PROCESSING, 0)
        await queue.retry(held, 0.01)
        assert await queue.lookup(one.queue_id) == known(QueueStatus.QUEUED, 1)
        (held,) = await queue.claim(1)
        await queue.answer(held, answer_to(held, "failure", value=b"a failure"))
        assert await queue.lookup(one.queue_id) == known(QueueStatus.FAILED, 1, False, b"a failure")
        await queue.published(await queue.outgoing())
        assert await queue.lookup(one.queue_id) == known(QueueStatus.FAILED, 1, True, b"a failure")

    store.check(script)


def test_depth_counts_what_waits_and_everything_that_is_not_over(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, *(request(number, size_bytes=100 + number) for number in range(4)))
        first, second = await queue.claim(2)
        await queue.retry(second, 3600.0)
        await queue.answer(first, answer_to(first))
        assert await queue.depth() == QueueDepth(queued=3, total=4, memory_bytes=406)
        await queue.published(await queue.outgoing())
        assert await queue.depth() == QueueDepth(queued=3, total=3, memory_bytes=306)

    store.check(script)


def test_the_memory_of_what_is_over_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{store.module}.REMEMBERED_ANSWERS", 3)
    monkeypatch.setattr(f"{store.module}.KEPT_CALLBACKS", 2)

    async def script(queue: RequestQueue) -> None:
        for number in range(5):
            await fill(queue, request(number))
            (one,) = await queue.claim(1)
            await queue.answer(one, answer_to(one, value=b"callback"))
            await queue.published(await queue.outgoing())
            await asyncio.sleep(0.002)
        known = [await queue.lookup(request(number).queue_id) for number in range(5)]
        assert [one and one.callback for one in known] == [None, None, None, b"callback", b"callback"]
        assert [one is not None for one in known] == [False, False, True, True, True]

    store.check(script)


# Cancellation


def test_a_cancelled_claim_takes_nothing_with_it(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        for number in range(30):
            # The put and the cancellation meet at every stage of the claim.
            claim = asyncio.create_task(queue.claim(1))
            await asyncio.sleep(0)
            put = asyncio.create_task(queue.put(request(number), SAME))
            for _ in range(number):
                await asyncio.sleep(0)
            claim.cancel()
            (outcome,) = await asyncio.gather(claim, return_exceptions=True)
            assert await put
            if isinstance(outcome, BaseException):
                outcome = await asyncio.wait_for(queue.claim(1), 1.0)
            assert ids(*outcome) == ids(request(number))

    store.check(script)


def test_cancelling_one_claimer_leaves_the_others_their_turn(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        first, second = asyncio.create_task(queue.claim(1)), asyncio.create_task(queue.claim(1))
        await asyncio.sleep(0.01)
        put = asyncio.create_task(queue.put(request(0), SAME))
        first.cancel()
        await put
        assert ids(*await asyncio.wait_for(second, 1.0)) == ids(request(0))
        assert first.cancelled()

    store.check(script)


def test_cancelling_the_wait_for_callbacks_or_lapses_loses_none(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        waits = [asyncio.create_task(queue.outgoing()), asyncio.create_task(queue.lapsed())]
        await fill(queue, request(0))
        (one,) = await queue.claim(1)
        answering = asyncio.create_task(queue.answer(one, answer_to(one)))
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        assert await answering
        assert len(await asyncio.wait_for(queue.outgoing(), 1.0)) == 1
        await fill(queue, request(1, ttl_s=0.02))
        wait = asyncio.create_task(queue.lapsed())
        await asyncio.sleep(0.01)
        wait.cancel()
        assert (await asyncio.wait_for(queue.lapsed(), 1.0)).kind is LapseKind.EXPIRED

    store.check(script)


def test_an_answer_counts_though_its_caller_was_cancelled(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0))
        (one,) = await queue.claim(1)
        answering = asyncio.create_task(queue.answer(one, answer_to(one)))
        await asyncio.sleep(0)
        answering.cancel()
        assert len(await asyncio.wait_for(queue.outgoing(), 1.0)) == 1

    store.check(script)
