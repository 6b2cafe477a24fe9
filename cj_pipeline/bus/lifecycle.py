"""This module opens and closes the bus of a served process: it makes the topics, and logs what was left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cj_pipeline.bus.protocol import Bus

_log = logging.getLogger(__name__)


@asynccontextmanager
async def bus_with_topics(bus: Bus, topics: Sequence[str]) -> AsyncIterator[Bus]:
    """Yield the bus at once, and make its topics meanwhile: a broker that is away delays no start.

    Close it at the end; what it could not deliver is in the log.
    """
    preparing = asyncio.create_task(bus.prepare(topics), name="bus-topics")
    preparing.add_done_callback(_log_failure)
    try:
        yield bus
    finally:
        preparing.cancel()
        try:
            await bus.aclose()
        except Exception as error:
            _log.error("the bus closed with something left: %s", error)


def _log_failure(preparing: asyncio.Task[None]) -> None:
    if not preparing.cancelled() and (error := preparing.exception()) is not None:
        _log.error("the topics could not be made: %s", error)
