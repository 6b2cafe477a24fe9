"""What every bus can do: carry bytes under a topic, in order, to whoever reads from the start.

Here: the protocol and its message. Not here: any transport (memory.py, folder.py, kafka/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


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


class Subscription(Protocol):
    """A reader with a position of its own; it misses nothing that was published to its topic before it came."""

    async def next(self) -> Message:
        """The next message, waiting for it if need be."""
        ...


class Bus(Protocol):
    """Where callbacks travel."""

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

    async def aclose(self) -> None:
        """Let go of whatever is held; what was handed over is on the bus by then, or refused."""
        ...
