"""What every store of requests promises about putting and claiming, held for each of them.

Here: order, capacity, repetitions, bundles; one fact a test. Not here: what comes after a claim (test_queue_lives.py),
long random lives (test_queue_model.py), what only Redis has (test_redis_queue.py).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cj_pipeline.services.lps.queue.queue import CorrelationIdInUse, QueueDepth, QueueFull, RequestQueue
from cj_pipeline.services.lps.queue.trace_context import TraceContext
from tests.services.lps.queues import (
    OTHER,
    REQUESTED_AT,
    SAME,
    Store,
    answer_to,
    fill,
    ids,
    order,
    request,
)


def test_a_request_comes_out_as_it_went_in(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        sent = replace(
            request(7, prompt="Ä / \U0001f600 / \u2028", temperature_override=0.30000000000000004, size_bytes=12_345),
            attempts=2,
            worked_s=0.1 + 0.2,
            sent_trace=TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"),
        )
        await fill(queue, sent)
        (got,) = await queue.claim(1)
        assert got.requested_at == REQUESTED_AT
        assert got.requested_at.microsecond == 123_457
        assert (got.attempts, got.worked_s, got.size_bytes, got.priority) == (2, 0.30000000000000004, 12_345, 5)
        assert (got.queue_id, got.correlation_id) == (sent.queue_id, sent.correlation_id)
        assert got.request == sent.request
        assert got.overrides == sent.overrides
        assert got.sent_trace == sent.sent_trace
        assert (got.prompt_sha256, got.provider, got.model_label) == (
            sent.prompt_sha256,
            sent.provider,
            sent.model_label,
        )
        # Through seconds since 1970 and back: a double has steps of 0.2 us there.
        assert got.enqueued_at == pytest.approx(sent.enqueued_at, abs=1e-6)
        assert got.expires_at == pytest.approx(sent.expires_at, abs=1e-6)

    store.check(script)


def test_higher_priority_first_then_first_come(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        requests = [request(number, priority=priority) for number, priority in enumerate([5, 9, 5, 9, 0, 10])]
        await fill(queue, *requests)
        assert await order(queue, 6) == [[requests[place].correlation_id] for place in (5, 1, 3, 0, 2, 4)]

    store.check(script)


def test_order_is_exact_for_requests_that_come_at_the_same_moment(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        requests = [request(number) for number in range(200)]
        await asyncio.gather(*(queue.put(one, SAME) for one in requests))
        assert await order(queue, 4, cap=64) == [ids(*requests[start : start + 64]) for start in (0, 64, 128, 192)]

    store.check(script)


def test_a_waiting_claim_gets_the_next_request(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        waiting = asyncio.create_task(queue.claim(1))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await fill(queue, request(0))
        assert ids(*await waiting) == ids(request(0))

    store.check(script)


def test_each_request_goes_to_one_of_many_claimers(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        claims = [asyncio.create_task(queue.claim(1)) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.gather(*(queue.put(request(number), SAME) for number in range(20)))
        claimed = [one.correlation_id for members in await asyncio.gather(*claims) for one in members]
        assert len(claimed) == 20
        assert set(claimed) == {request(number).correlation_id for number in range(20)}

    store.check(script)


# Capacity


def test_refuses_from_the_high_watermark_until_below_the_low_one(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        requests = [request(number) for number in range(12)]
        await fill(queue, *requests[:8])  # 8 of 10 is the high watermark
        with pytest.raises(QueueFull) as raised:
            await queue.put(requests[8], SAME)
        assert (raised.value.size, raised.value.max_size, raised.value.reason) == (8, 10, "size")
        assert await queue.lookup(requests[8].queue_id) is None
        held = [(await queue.claim(1))[0] for _ in range(3)]
        with pytest.raises(QueueFull):  # being answered still takes up room
            await queue.put(requests[8], SAME)
        for one in held:
            assert await queue.answer(one, answer_to(one))
        out = list(await queue.outgoing())
        while len(out) < 3:
            out += await queue.outgoing()
        with pytest.raises(QueueFull):  # and so does a callback that the bus does not have
            await queue.put(requests[8], SAME)
        await queue.published(out[:2])
        with pytest.raises(QueueFull):  # 6 of 10 is not below the low watermark
            await queue.put(requests[8], SAME)
        await queue.published(out[2:])
        await fill(queue, requests[8], requests[9], requests[10])  # 5, 6, 7
        with pytest.raises(QueueFull):
            await queue.put(requests[11], SAME)
        assert (await queue.depth()).total == 8

    store.check(script, max_size=10)


def test_memory_has_a_limit_too(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0, size_bytes=700))
        with pytest.raises(QueueFull) as raised:
            await queue.put(request(1, size_bytes=301), SAME)
        assert raised.value.reason == "memory"
        await fill(queue, request(2, size_bytes=300))
        assert await queue.depth() == QueueDepth(queued=2, total=2, memory_bytes=1000)
        with pytest.raises(QueueFull) as raised:
            await queue.put(request(3, size_bytes=0), SAME)
        assert (raised.value.size, raised.value.reason) == (2, "memory")

    store.check(script, max_memory_bytes=1000)


def test_one_request_alone_is_taken_whatever_its_size(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0, size_bytes=5000))
        with pytest.raises(QueueFull):
            await queue.put(request(1, size_bytes=1), SAME)

    store.check(script, max_memory_bytes=1000)


# Repetitions


def test_the_same_request_is_queued_once(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        assert [await queue.put(request(0), SAME) for _ in range(3)] == [True, False, False]
        assert await queue.depth() == QueueDepth(queued=1, total=1, memory_bytes=1500)
        (one,) = await queue.claim(1)
        assert await queue.put(request(0), SAME) is False
        await queue.answer(one, answer_to(one))
        assert await queue.put(request(0), SAME) is False
        await queue.published(await queue.outgoing())
        assert await queue.put(request(0), SAME) is False
        assert await queue.depth() == QueueDepth(queued=0, total=0, memory_bytes=0)

    store.check(script)


def test_another_request_under_a_known_correlation_id_is_refused(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0))
        with pytest.raises(CorrelationIdInUse):
            await queue.put(request(0), OTHER)
        (one,) = await queue.claim(1)
        await queue.answer(one, answer_to(one))
        await queue.published(await queue.outgoing())
        with pytest.raises(CorrelationIdInUse):
            await queue.put(request(0), OTHER)

    store.check(script)


def test_a_repetition_is_known_even_when_there_is_no_room(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0))
        assert await queue.put(request(0), SAME) is False
        with pytest.raises(QueueFull):
            await queue.put(request(1), SAME)

    store.check(script, max_size=1)


def test_many_puts_of_the_same_request_at_once_queue_it_once(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        put = await asyncio.gather(*(queue.put(request(0), SAME) for _ in range(10)))
        assert sorted(put) == [False] * 9 + [True]

    store.check(script)


# Bundles


def test_a_bundle_is_the_lead_and_the_compatible_ones_behind_it(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        warm = [request(number) for number in range(3)]
        cold = [request(number, temperature_override=0.0) for number in range(3, 5)]
        last = request(5)
        await fill(queue, *warm, *cold, last)
        assert await order(queue, 3, cap=64) == [ids(*warm), ids(*cold), ids(last)]

    store.check(script)


@pytest.mark.parametrize(
    ("hint", "cap", "size"), [(None, 64, 64), (3, 64, 3), (64, 10, 10), (30, 64, 30), (65, 20, 20), ("3", 20, 20)]
)
def test_a_bundle_has_as_many_as_its_lead_asks_for_and_the_cap_allows(
    store: Store, hint: object, cap: int, size: int
) -> None:
    async def script(queue: RequestQueue) -> None:
        await asyncio.gather(*(queue.put(request(number, hint=hint), SAME) for number in range(70)))
        assert len(await queue.claim(cap)) == size

    store.check(script)


def test_the_hint_of_a_follower_does_not_count(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        await fill(queue, request(0, hint=3), request(1, hint=1), request(2), request(3))
        assert [len(members) for members in await order(queue, 2, cap=64)] == [3, 1]

    store.check(script)


def test_alternating_requests_never_wait_for_a_fuller_bundle(store: Store) -> None:
    async def script(queue: RequestQueue) -> None:
        requests = [request(number, temperature_override=number % 2) for number in range(10)]
        await fill(queue, *requests)
        assert await order(queue, 10, cap=64) == [ids(one) for one in requests]

    store.check(script)
