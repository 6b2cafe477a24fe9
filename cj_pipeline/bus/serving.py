"""A bus in use by a served process: its topics made, and closed at the end with a word about what was left.

Here: the beginning and the end. Not here: which bus it is (choice.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cj_pipeline.bus.protocol import Bus

_log = logging.getLogger(__name__)


@asynccontextmanager
async def in_use(bus: Bus, topics: Sequence[str]) -> AsyncIterator[Bus]:
    """The bus, while its topics are made beside: a broker that is away keeps nobody from starting.

    At the end it is closed; what it could not deliver is in the log.
    """
    preparing = asyncio.create_task(bus.prepare(topics), name="bus-topics")
    preparing.add_done_callback(_tell_of_failure)
    try:
        yield bus
    finally:
        preparing.cancel()
        try:
            await bus.aclose()
        except Exception as error:
            _log.error("the bus closed with something left: %s", error)


def _tell_of_failure(preparing: asyncio.Task[None]) -> None:
    if not preparing.cancelled() and (error := preparing.exception()) is not None:
        _log.error("the topics could not be made: %s", error)
