"""The stack that a provider judge stands in front of: an LPS, a bus, a clock.

Here: putting one together; the only place that knows which kind it is. Not here: the parts themselves, or asking the
service anything.

Embedded: the service's own HTTP app, called in this process, and a bus in memory. No server, no broker, no key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import httpx

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.bus.protocol import Bus
from cj_pipeline.clock import LoopClock
from cj_pipeline.lps.app import build_app
from cj_pipeline.lps.mode import Mode
from cj_pipeline.lps.service import LlmProviderService
from cj_pipeline.lps.settings import LpsSettings
from cj_pipeline.runs.in_process import InProcessTransport


@dataclass(frozen=True, slots=True)
class Stack:
    """A running LPS, as its users see it."""

    client: httpx.AsyncClient
    bus: Bus


@asynccontextmanager
async def embedded_stack(
    settings: LpsSettings, mode: Mode, *, bus: Bus | None = None, origin: datetime | None = None
) -> AsyncIterator[Stack]:
    """A stack in this process for as long as the context lasts.

    bus: where callbacks travel, a new one in memory by default; origin: what the stack's clock shows at the start.
    """
    bus = MemoryBus() if bus is None else bus
    service = LlmProviderService(settings, mode, bus, LoopClock(origin))
    transport = InProcessTransport(build_app(service))
    async with service, httpx.AsyncClient(transport=transport, base_url="http://lps") as client:
        yield Stack(client=client, bus=bus)
