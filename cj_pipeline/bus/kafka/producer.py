"""This module hands messages to librdkafka and brings its delivery reports to the event loop.

librdkafka reports from `poll`, which a thread of our own calls: on the loop it would be late, and the client's own
asyncio producer took 1,000 messages/s where this takes 14,000. Reports come in batches; a batch wakes the loop once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from cj_pipeline.bus.kafka.clients import new_producer
from cj_pipeline.bus.kafka.errors import BatchTooLarge, MessageTooLarge, NotDelivered, error_of, not_delivered
from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.bus.protocol import Outgoing

_log = logging.getLogger(__name__)

# A thread that waits for reports notices the end so late at most. 20 looks a second are 0.2 % of a core.
_POLL_S = 0.05

_Report = tuple["asyncio.Future[None]", str, KafkaError | None]


class Deliveries:
    """One idempotent producer on the running loop, replaced when it breaks for good."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Open a producer. Raises BadInput for an option that librdkafka does not take."""
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._line: deque[tuple[Outgoing, asyncio.Future[None]]] = deque()
        self._in_flight: Counter[str] = Counter()
        self._alone = asyncio.Lock()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._retired: list[_Polled] = []
        self._polled = self._new_producer()

    def send(self, message: Outgoing) -> asyncio.Future[None]:
        """Queue a message; the future ends with its delivery, or with NotDelivered. Cancelling it stops nothing."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._line.append((message, done))
        self._send_line()
        return done

    async def deliver_alone(self, message: Outgoing) -> NotDelivered | None:
        """Deliver a message in a batch of its own, while all others wait; return None, or why it was not delivered."""
        async with self._alone:
            try:
                await self._emptied.wait()
                done: asyncio.Future[None] = self._loop.create_future()
                self._produce(message, done)
                await done
            except BatchTooLarge as refused:
                return MessageTooLarge(message.topic, refused.reason, "the broker refuses it for its size")
            except NotDelivered as refused:
                return refused
            else:
                return None
            finally:
                self._loop.call_soon(self._send_line)  # by then the lock is free

    @property
    def _outstanding(self) -> Mapping[str, int]:
        """Return the messages without an end, by topic."""
        return Counter(message.topic for message, _ in self._line) + self._in_flight

    async def finish(self, within_s: float) -> Mapping[str, int]:
        """Wait for what was sent, for so long at most, then stop; return what had no end by then, by topic."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                # On another loop than ours nobody waits, and no report would come through.
                while self._outstanding and not self._loop.is_closed():
                    await self._emptied.wait()
                    await asyncio.sleep(0)
        left = dict(self._outstanding)
        # Before anything is purged: its reports make room, and what waits would be sent after all.
        waiting, self._line = self._line, deque()
        for polled in (self._polled, *self._retired):
            polled.producer.purge()
            polled.retire()
            await asyncio.to_thread(polled.join)
        if not self._loop.is_closed():
            given_up = KafkaError(KafkaError._PURGE_QUEUE)
            self._settle([(done, message.topic, given_up) for message, done in waiting])
        return left

    def _new_producer(self) -> _Polled:
        return _Polled(new_producer(self._settings), self._loop, self._reported)

    def _send_line(self) -> None:
        while self._line and not self._alone.locked():
            try:
                self._produce(*self._line[0])
            except BufferError:
                return  # reports make room, and come by here
            self._line.popleft()

    def _produce(self, message: Outgoing, done: asyncio.Future[None]) -> None:
        polled = self._polled
        try:
            polled.producer.produce(
                message.topic,
                message.value,
                message.key,
                on_delivery=partial(polled.report, done, message.topic),
                headers=list(message.headers),
            )
        except KafkaException as refused:
            error = error_of(refused)
            if error.code() == KafkaError._FATAL:
                self._replace(error)
                self._produce(message, done)
                return
            if not done.done():
                done.set_exception(not_delivered(message.topic, error))
        else:
            self._in_flight[message.topic] += 1
            self._emptied.clear()

    def _reported(self, reports: list[_Report]) -> None:
        for _, topic, _ in reports:
            self._in_flight[topic] -= 1
        self._settle(reports)
        self._send_line()
        if not self._in_flight.total():
            self._emptied.set()

    def _settle(self, reports: list[_Report]) -> None:
        for done, topic, error in reports:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                refused = not_delivered(topic, error)
                if isinstance(refused, MessageTooLarge):
                    refused = BatchTooLarge(topic, refused.reason, "the broker refuses its batch for its size")
                done.set_exception(refused)

    def _replace(self, error: KafkaError) -> None:
        """Go on with another producer: this one refuses everything from now on."""
        _log.error("the Kafka producer broke and is replaced: %s", error.name())
        self._retired = [*(polled for polled in self._retired if polled.running), self._polled]
        self._polled.producer.purge()
        self._polled.retire()
        self._polled = self._new_producer()


class _Polled:
    """A producer and the thread that polls it."""

    def __init__(
        self, producer: Producer, loop: asyncio.AbstractEventLoop, reported: Callable[[list[_Report]], None]
    ) -> None:
        self.producer = producer
        self._loop = loop
        self._reported = reported
        self._reports: list[_Report] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._poll, name="kafka-deliveries", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def report(self, done: asyncio.Future[None], topic: str, error: KafkaError | None, _: Message) -> None:
        """Take what librdkafka reports, in the thread."""
        self._reports.append((done, topic, error))

    def retire(self) -> None:
        """Let the thread end once everything is reported."""
        self._stopping = True

    def join(self) -> None:
        self._thread.join()

    def _poll(self) -> None:
        # A loop that was closed without this bus has nobody left to report to.
        while not self._loop.is_closed() and (not self._stopping or len(self.producer)):
            self.producer.poll(_POLL_S)
            if self._reports:
                reports, self._reports = self._reports, []
                with suppress(RuntimeError):  # closed in this moment
                    self._loop.call_soon_threadsafe(self._reported, reports)
