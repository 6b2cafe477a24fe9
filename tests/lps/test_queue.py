"""What every store of requests promises, held for each of them.

Here: one fact a test. Not here: long random lives (test_queue_model.py), what only Redis has (test_redis_queue.py).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cj_pipeline.contracts.enums import QueueStatus
from cj_pipeline.lps.queue import CorrelationIdInUse, Known, LapseKind, QueueDepth, QueueFull, RequestQueue
from cj_pipeline.lps.queued_request import QueuedRequest
from cj_pipeline.lps.trace_context import TraceContext
from tests.lps.queues import REQUESTED_AT, Store, answer_to, memory_store, never, redis_store, request

SAME = b"fingerprint of the same request"
OTHER = b"fingerprint of another"


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Store:
    return memory_store() if request.param == "memory" else redis_store(request.getfixturevalue("redis_server"))


async def fill(queue: RequestQueue, *requests: QueuedRequest) -> None:
    for one in requests:
        assert await queue.put(one, SAME)


async def order(queue: RequestQueue, how_many: int, cap: int = 1) -> list[list[object]]:
    """The correlation ids of the next bundles."""
    return [[one.correlation_id for one in await queue.claim(cap)] for _ in range(how_many)]


def ids(*requests: QueuedRequest) -> list[object]:
    return [one.correlation_id for one in requests]


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
    monkeypatch.setattr(f"cj_pipeline.lps.{store.name}_queue.REMEMBERED_ANSWERS", 3)
    monkeypatch.setattr(f"cj_pipeline.lps.{store.name}_queue.KEPT_CALLBACKS", 2)

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
