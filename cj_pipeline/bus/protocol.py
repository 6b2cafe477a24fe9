"""What every bus can do: carry bytes under a topic, in order, to whoever reads from the start.

Here: the protocol and its message. Not here: any transport (memory.py, folder.py, kafka/).
"""

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
    """One message as it is handed over."""

    topic: str
    key: bytes | None
    value: bytes


class MessagesGone(CjPipelineError):
    """Messages that a reader had still to come to are no longer in their topic: retention, or the topic was made anew.

    wanted: the offset that would have been next; first: where the subscription goes on. Where first is not above
    wanted, the log was cut or made anew, and what comes now may have been read before.
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
        """The next message, waiting for it if need be.

        Raises MessagesGone, once for each gap, where a transport forgets; the call after it goes on behind the gap.
        """
        ...


class Bus(Protocol):
    """Where callbacks travel. Its `str` is what a log calls it, without secrets."""

    async def publish(self, topic: str, value: bytes, *, key: bytes | None = None) -> None:
        """Hand over one message; returns once the bus has it, raises when it was not taken."""
        ...

    async def publish_all(self, messages: Sequence[Outgoing]) -> list[Exception | None]:
        """Hand over many messages, in order; for each, None or why it was not taken."""
        ...

    def subscribe(self, topic: str, start: Mapping[int, int] | None = None) -> Subscription:
        """Read a topic.

        start: by partition, the offset of the first message wanted; from the first message on where none is named.
        """
        ...

    async def end(self, topic: str) -> Mapping[int, int]:
        """Where a topic ends now: by partition, the offset that its next message will have at the least.

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
        """Let go of whatever is held; what was handed over is on the bus by then, or refused."""
        ...
