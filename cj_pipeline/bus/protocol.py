"""This module defines what every bus can do: carry bytes under a topic, in order, to readers from any offset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cj_pipeline.foundation.errors import CjPipelineError


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it was published.

    offset: its place in its partition, from 0, ascending; a broker may leave gaps. Order holds within a partition only;
    a bus without partitions has one, 0.
    """

    topic: str
    offset: int
    key: bytes | None
    value: bytes
    partition: int = 0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message that is to be published. headers: for a bus that has them (Kafka); the others drop them."""

    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class MessagesGone(CjPipelineError):
    """Messages that a reader had still to come to are no longer in their topic: retention, or the topic was made again.

    wanted: the offset that would have been next; first: where the subscription goes on. Where first is not above
    wanted, the log was cut or made again, and what comes now may have been read before.
    """

    def __init__(self, topic: str, partition: int, wanted: int, first: int) -> None:
        self.topic = topic
        self.partition = partition
        self.wanted = wanted
        self.first = first
        lost = (
            f"{first - wanted} messages were removed before they were read (offsets {wanted} to {first - 1})"
            if first > wanted
            else f"the log ends before offset {wanted}, which was next"
        )
        super().__init__(f"'{topic}', partition {partition}: {lost}; reading goes on at offset {first}.")


class Subscription(Protocol):
    """A reader with a position of its own; it misses nothing that was published to its topic before it came."""

    async def next(self) -> Message:
        """Return the next message, waiting for it if need be.

        Raises MessagesGone, once for each gap, where a transport forgets; the call after it goes on behind the gap.
        """
        ...


class Bus(Protocol):
    """Where callbacks travel. Its `str` is what a log calls it, without secrets."""

    async def publish(self, topic: str, value: bytes, *, key: bytes | None = None) -> None:
        """Publish one message; returns once the bus has it, raises when it did not take it."""
        ...

    async def publish_all(self, messages: Sequence[Outgoing]) -> list[Exception | None]:
        """Publish many messages, in order; return for each None, or why the bus did not take it."""
        ...

    def subscribe(self, topic: str, start: Mapping[int, int] | None = None) -> Subscription:
        """Read a topic.

        start: by partition, the offset of the first message wanted; from the first message on where none is named.
        """
        ...

    async def end(self, topic: str) -> Mapping[int, int]:
        """Return where a topic ends now: by partition, the offset that its next message will have at the least.

        Subscribing with it as the start gives what is published from now on, and nothing older. A topic that does not
        exist yet has no entry, or 0 for the partition that it will have.
        """
        ...

    async def prepare(self, topics: Sequence[str]) -> None:
        """Make topics that are not there yet, where a transport wants that; says in the log what it could not make.

        Returns once it was tried, which takes as long as the transport is away.
        """
        ...

    async def aclose(self) -> None:
        """Release what is held; every published message is on the bus by then, or refused."""
        ...
