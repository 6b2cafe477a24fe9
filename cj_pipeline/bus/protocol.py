"""What every bus can do: carry bytes under a topic, in order, to whoever reads from the start.

Here: the protocol and its message. Not here: any transport (memory.py now, Kafka beside it later).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it was published. `offset` counts from 0 within its topic."""

    topic: str
    offset: int
    key: bytes | None
    value: bytes


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

    def subscribe(self, topic: str) -> Subscription:
        """Read a topic from its first message on."""
        ...
