from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cj_pipeline.lps.queue import QueueDepth, QueueFull, RequestQueue
from tests.lps.lab import queued


def test_higher_priority_first_then_first_come():
    queue = RequestQueue(max_size=10)
    requests = [replace(queued(number), priority=priority) for number, priority in enumerate([5, 9, 5, 9, 0])]
    for request in requests:
        queue.put(request, b"x")
    assert [queue.take() for _ in requests] == [requests[place] for place in (1, 3, 0, 2, 4)]


def test_what_is_being_answered_still_takes_up_room():
    queue = RequestQueue(max_size=2)
    first = queued(0)
    queue.put(first, b"x")
    queue.put(queued(1), b"x")
    assert queue.take() is first
    assert queue.depth() == QueueDepth(queued=1, total=2)
    with pytest.raises(QueueFull) as raised:
        queue.put(queued(2), b"x")
    assert (raised.value.size, raised.value.max_size) == (2, 2)
    queue.finish(first, answered=True)
    queue.put(queued(2), b"x")
    assert queue.depth() == QueueDepth(queued=2, total=2)


def test_a_request_put_back_is_next_whatever_its_priority():
    queue = RequestQueue(max_size=10)
    queue.put(queued(0), b"x")
    request = queue.take()
    queue.put_back(request)
    queue.put(replace(queued(1), priority=9), b"x")
    assert queue.depth() == QueueDepth(queued=2, total=2)
    assert queue.take() is request


def test_waiting_for_an_item_ends_when_one_comes_and_only_then():
    async def main():
        queue = RequestQueue(max_size=10)
        waiting = asyncio.create_task(queue.wait_for_item())
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.put(queued(0), b"x")
        await waiting
        queue.put_back(queue.take())
        await queue.wait_for_item()
        queue.take()
        waiting = asyncio.create_task(queue.wait_for_item())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()

    asyncio.run(main())


def test_an_answered_request_stays_known_and_an_unanswered_one_does_not():
    queue = RequestQueue(max_size=10)
    answered, dropped = queued(0), queued(1)
    for request in (answered, dropped):
        queue.put(request, b"print")
    assert queue.fingerprint_of(answered.correlation_id) == b"print"
    for request in (queue.take(), queue.take()):
        queue.finish(request, answered=request is answered)
    assert queue.fingerprint_of(answered.correlation_id) == b"print"
    assert queue.fingerprint_of(dropped.correlation_id) is None


def test_the_memory_of_answered_requests_is_bounded(monkeypatch):
    monkeypatch.setattr("cj_pipeline.lps.queue.REMEMBERED_ANSWERS", 2)
    queue = RequestQueue(max_size=10)
    for number in range(3):
        queue.put(queued(number), b"print")
        queue.finish(queue.take(), answered=True)
    known = [queue.fingerprint_of(queued(number).correlation_id) is not None for number in range(3)]
    assert known == [False, True, True]
