"""This module runs the CJ service as a process, until a signal stops it.

A stop needs no drain: whatever was begun is in the database, and the next process goes on with it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import closing

import httpx

from cj_pipeline.bus.lifecycle import bus_with_topics
from cj_pipeline.bus.protocol import Bus
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.services.cj.http.endpoints import build_app
from cj_pipeline.services.cj.service import CjAssessmentService
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Database, Pool
from cj_pipeline.services.shared.http_server import HttpServer, bound

_log = logging.getLogger(__name__)


def serve(settings: CjSettings, bus: Bus, *, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve until SIGTERM or SIGINT.

    ready: called with the base URL once it works. bus: closed at the end.
    Raises CannotServe, DatabaseAway, OtherSchema, BadInput.
    """
    with closing(bound(settings.host, settings.http_port)) as listening, asyncio.Runner() as runner:
        runner.run(_serve(settings, bus, listening, ready))


async def _serve(settings: CjSettings, bus: Bus, listening: socket.socket, ready: Callable[[str], None]) -> None:
    database = Database(settings.database_url.get_secret_value(), pool_of(settings))
    topics = [settings.cj_assessment_request_topic, settings.llm_provider_callback_topic, *settings.published_topics]
    try:
        async with (
            bus_with_topics(bus, topics),
            httpx.AsyncClient() as client,
            CjAssessmentService(settings, bus, database, LoopClock(), client) as service,
        ):
            server = HttpServer(build_app(service))
            loop = asyncio.get_running_loop()
            for name in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(name, server.stop)
            serving = asyncio.create_task(server.serve([listening]), name="cj-http")
            failing = asyncio.create_task(service.wait(), name="cj-service")
            while not server.started and not serving.done():
                await asyncio.sleep(0.005)
            if server.started:
                url = server.url()
                _log.info("listening", extra={"url": url, "replica": service.replica, "bus": str(bus)})
                ready(url)
            await asyncio.wait([serving, failing], return_when=asyncio.FIRST_COMPLETED)
            server.stop()
            await serving
            if failing.done():
                await failing
            failing.cancel()
            await asyncio.wait([failing])
    finally:
        await database.aclose()
        _log.info("stopped")


def pool_of(settings: CjSettings) -> Pool:
    """Return how many connections to PostgreSQL there may be, and how long one lives."""
    return Pool(
        size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pre_ping=settings.database_pool_pre_ping,
        recycle_s=settings.database_pool_recycle,
    )
