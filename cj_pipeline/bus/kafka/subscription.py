"""This module reads one topic: all of its partitions, from where the reader wants to begin.

librdkafka fetches ahead by itself; a thread hands what has come to the loop in batches, and stops at a few thousand
messages that nobody has taken. It lives from the first `next` until the subscription is closed, or its loop is.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from confluent_kafka import Consumer

from cj_pipeline.bus.kafka.clients import new_consumer
from cj_pipeline.bus.kafka.partitions import Partitions
from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.bus.protocol import Message, MessagesGone

# The end is noticed so late at most; ten looks a second are 0.1 % of a core.
_POLL_S = 0.1
_BATCH = 250
_MOST_WAITING = 1_000


class KafkaSubscription:
    """A position in every partition of one topic. Order holds within a partition only."""

    def __init__(self, settings: KafkaSettings, topic: str, start: Mapping[int, int]) -> None:
        self._settings = settings
        self._topic = topic
        self._start = dict(start)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._come: deque[Message | MessagesGone] = deque()
        self._arrival = asyncio.Event()
        self._room = threading.Event()
        self._stopping = False
        self._broken: Exception | None = None

    async def next(self) -> Message:
        """Return the next message of any partition, waiting for it if need be; cancelling the wait loses nothing.

        Broker restarts, a topic that does not exist yet and refusals of the broker are waited out; the latter two are
        in the log. Raises MessagesGone where messages that were wanted are not there any more; the call after it goes
        on with the first that is. Raises BadInput for an option that librdkafka does not take, KafkaException when the
        client broke for good.
        """
        while not self._come:
            if self._stopping:
                raise RuntimeError("the subscription is closed")
            if self._broken is not None:
                raise self._broken
            if self._thread is None:
                self._begin()
            self._arrival.clear()
            await self._arrival.wait()
        event = self._come.popleft()
        if len(self._come) <= _MOST_WAITING // 2:
            self._room.set()
        if isinstance(event, MessagesGone):
            raise event
        return event

    def stop(self) -> None:
        """Let the thread end; does not wait for it."""
        self._stopping = True
        self._room.set()

    async def aclose(self) -> None:
        """End the thread. A caller that waits in `next` gets RuntimeError; what has come can still be taken."""
        self.stop()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        if self._loop is not None and not self._loop.is_closed():
            self._arrival.set()

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        consumer = new_consumer(self._settings)
        self._thread = threading.Thread(
            target=self._read, args=(consumer, self._loop), name=f"kafka-reader {self._topic}", daemon=True
        )
        self._thread.start()

    def _read(self, consumer: Consumer, loop: asyncio.AbstractEventLoop) -> None:
        partitions = Partitions(consumer, self._topic, self._start)
        try:
            while not self._stopping and not loop.is_closed():
                if not self._has_room():
                    continue
                events = [*partitions.keep_up(), *_polled(consumer, partitions)]
                if events:
                    # In this thread, so that a loop that is busy elsewhere counts what waits for it.
                    self._come.extend(events)
                    loop.call_soon_threadsafe(self._arrival.set)
        except Exception as error:
            # No caller is here to see it; of a loop that was closed under the thread there is none at all.
            self._broken = error
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._arrival.set)
        finally:
            consumer.close()

    def _has_room(self) -> bool:
        """Return False after a wait for it."""
        self._room.clear()
        return len(self._come) < _MOST_WAITING or self._room.wait(_POLL_S)


def _polled(consumer: Consumer, partitions: Partitions) -> list[Message | MessagesGone]:
    first = consumer.poll(_POLL_S)
    if first is None:
        return []
    # consume() alone would wait until it has so many, or for its whole timeout.
    taken = map(partitions.take, (first, *consumer.consume(_BATCH - 1, 0.0)))
    return [event for event in taken if event is not None]
