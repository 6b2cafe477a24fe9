"""Buses in memory that do what a broker does: forget old messages, and keep a topic in several partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cj_pipeline.bus.memory import MemoryBus, MemorySubscription
from cj_pipeline.bus.protocol import Message, MessagesGone


class ForgetfulBus(MemoryBus):
    """Forgets messages that nobody has read yet, as retention does to readers that are behind."""

    def __init__(self) -> None:
        super().__init__()
        self.firsts: dict[str, int] = {}

    def forget(self, topic: str, messages: int) -> None:
        """So many messages come and go; one more comes."""
        self.firsts[topic] = len(self._logs[topic]) + messages
        for _ in range(messages + 1):
            number = len(self._logs[topic])
            self._logs[topic].append(Message(topic=topic, offset=number, key=None, value=b"noise"))
        waiters, self._waiters[topic] = self._waiters[topic], []
        for waiter in waiters:
            waiter.set_result(None)

    def subscribe(self, topic: str, start: Mapping[int, int] | None = None) -> Any:
        return _Forgetful(self, topic, (start or {}).get(0, 0))


class _Forgetful:
    def __init__(self, bus: ForgetfulBus, topic: str, start: int) -> None:
        self._bus, self._topic, self._next = bus, topic, start

    async def next(self) -> Message:
        message = await self._bus.message(self._topic, self._next)
        wanted, first = self._next, self._bus.firsts.get(self._topic, 0)
        self._next = max(wanted + 1, first)
        if wanted < first:
            raise MessagesGone(self._topic, 0, wanted, first)
        return message


class PartitionedBus(MemoryBus):
    """Deals the messages of every topic out to three partitions, in turn."""

    PARTITIONS = 3

    def subscribe(self, topic: str, start: Mapping[int, int] | None = None) -> Any:
        return _Partitioned(super().subscribe(topic), start or {})

    async def end(self, topic: str) -> Mapping[int, int]:
        number = len(self._logs[topic])
        return {p: len(range(p, number, self.PARTITIONS)) for p in range(self.PARTITIONS)} if number else {}


class _Partitioned:
    def __init__(self, inner: MemorySubscription, start: Mapping[int, int]) -> None:
        self._inner, self._start = inner, start

    async def next(self) -> Message:
        while True:
            message = await self._inner.next()
            offset, partition = divmod(message.offset, PartitionedBus.PARTITIONS)
            if offset >= self._start.get(partition, 0):
                return Message(message.topic, offset, message.key, message.value, partition)
