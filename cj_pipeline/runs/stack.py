"""This module puts together the stack that a provider judge asks: an LPS, a bus, a clock.

Embedded: the service's own HTTP app, called in this process, and a bus in memory. No server, no broker, no key.
Deployed: a URL and the bus that the service behind it publishes to (remote.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import httpx

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.bus.protocol import Bus, Subscription
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.runs.record import Sample
from cj_pipeline.runs.remote import CALLBACK_TOPIC, Deployment, deployed
from cj_pipeline.services.lps.http.app import build_app
from cj_pipeline.services.lps.service import LlmProviderService
from cj_pipeline.services.lps.settings import LpsSettings


@dataclass(frozen=True, slots=True)
class Stack:
    """A running LPS, as its users see it.

    listen: a reader of a topic, of what is published from now on; metrics_before: what the service counted up to now.
    """

    client: httpx.AsyncClient
    bus: Bus
    listen: Callable[[str], Awaitable[Subscription]]
    metrics_before: tuple[Sample, ...] = ()
    callback_topic: str | None = None
    """Where callbacks must be sent; None leaves it to the scenario."""


@asynccontextmanager
async def stack_for(
    settings: LpsSettings,
    mode: Mode,
    deployment: Deployment | None,
    *,
    bus: Bus | None = None,
    origin: datetime | None = None,
) -> AsyncIterator[Stack]:
    """Yield the deployed stack where there is one, else an embedded one. settings, bus, origin: of an embedded one."""
    if deployment is None:
        # A recording says by itself that its model was there to be asked.
        async with embedded_stack(settings, mode, bus=bus, origin=origin, any_model=True) as stack:
            yield stack
    else:
        async with deployed(deployment, mode, settings.queue_processing_mode) as found:
            yield Stack(found.client, found.bus, found.listen, found.metrics_before, CALLBACK_TOPIC)


@asynccontextmanager
async def embedded_stack(
    settings: LpsSettings,
    mode: Mode,
    *,
    bus: Bus | None = None,
    origin: datetime | None = None,
    any_model: bool = False,
    to_providers: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Stack]:
    """Yield a stack in this process.

    bus: where callbacks travel, a new one in memory by default; origin: what the stack's clock shows at the start;
    any_model: whether the mock takes models that the manifest does not know; to_providers: the way of calls to real
    providers, the network by default.
    """
    bus = MemoryBus() if bus is None else bus
    service = LlmProviderService(settings, mode, bus, LoopClock(origin), transport=to_providers, any_model=any_model)

    async def listen(topic: str) -> Subscription:
        return bus.subscribe(topic, await bus.end(topic))

    transport = httpx.ASGITransport(build_app(service))
    async with service, httpx.AsyncClient(transport=transport, base_url="http://lps") as client:
        yield Stack(client=client, bus=bus, listen=listen)
