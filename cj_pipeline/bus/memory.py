"""This module is the bus of an embedded stack: a list for each topic, in this process.

It keeps every message, so that a late reader can start at the beginning, as a Kafka consumer with `earliest` does.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from cj_pipeline.bus.protocol import Message, Outgoing


class MemoryBus:
    """The bus protocol without a broker. One event loop; not for threads."""

    def __init__(self) -> None:
        self._logs: defaultdict[str, list[Message]] = defaultdict(list)
        self._waiters: defaultdict[str, list[asyncio.Future[None]]] = defaultdict(list)

    def __str__(self) -> str:
        return "memory"

    async def publish(self, topic: str, value: bytes, *, key: bytes | None = None) -> None:
        """Append to the topic and wake its readers."""
        log = self._logs[topic]
        log.append(Message(topic=topic, offset=len(log), key=key, value=value))
        waiters, self._waiters[topic] = self._waiters[topic], []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def publish_all(self, messages: Sequence[Outgoing]) -> list[Exception | None]:
        """Append each to its topic."""
        for message in messages:
            await self.publish(message.topic, message.value, key=message.key)
        return [None] * len(messages)

    def subscribe(self, topic: str, start: Mapping[int, int] | None = None) -> MemorySubscription:
        """Read a topic, from its first message on or from the offset that start gives for partition 0."""
        return MemorySubscription(self, topic, (start or {}).get(0, 0))

    async def end(self, topic: str) -> Mapping[int, int]:
        """Return the number of its messages, for partition 0."""
        return {0: len(self._logs[topic])}

    async def prepare(self, topics: Sequence[str]) -> None:
        """Do nothing: a topic is made by its first message."""

    async def aclose(self) -> None:
        """Do nothing: nothing is held but memory."""

    async def message(self, topic: str, offset: int) -> Message:
        """Return the message at an offset, once it has been published."""
        while len(self._logs[topic]) <= offset:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters[topic].append(waiter)
            await waiter
        return self._logs[topic][offset]


class MemorySubscription:
    """A position in one topic of a MemoryBus."""

    def __init__(self, bus: MemoryBus, topic: str, offset: int) -> None:
        self._bus = bus
        self._topic = topic
        self._offset = offset

    async def next(self) -> Message:
        """Return the next message, waiting for it if need be; cancelling the wait loses nothing."""
        message = await self._bus.message(self._topic, self._offset)
        self._offset += 1
        return message
