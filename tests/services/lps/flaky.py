"""A bus that does not take everything: the tests say what, when, and whether it was lost or only not confirmed.

Here: the bus. Not here: assertions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.bus.protocol import Outgoing

Refusing = Callable[[Outgoing], bool]


class FlakyBus(MemoryBus):
    """refuses: which messages are not taken. They are `lost`; with `unconfirmed`, they arrive all the same."""

    def __init__(self, refuses: Refusing = lambda _: False, *, unconfirmed: bool = False) -> None:
        super().__init__()
        self.refuses = refuses
        self.unconfirmed = unconfirmed
        self.refused: list[Outgoing] = []

    async def publish_all(self, messages: Sequence[Outgoing]) -> list[Exception | None]:
        results: list[Exception | None] = []
        for message in messages:
            refused = self.refuses(message)
            if refused:
                self.refused.append(message)
            if not refused or self.unconfirmed:
                await self.publish(message.topic, message.value, key=message.key)
            results.append(ConnectionError("no broker") if refused else None)
        return results
