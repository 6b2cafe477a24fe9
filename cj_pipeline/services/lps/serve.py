"""This module runs the service as a process: signals, the drain, the event loop and memory."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager

import uvloop

from cj_pipeline.bus.lifecycle import bus_with_topics
from cj_pipeline.bus.protocol import Bus
from cj_pipeline.contracts.topics import (
    COMPARISON_RESULT_TOPIC,
    USAGE_COMPLETED_TOPIC,
    USAGE_FAILURE_TOPIC,
    USAGE_STARTED_TOPIC,
)
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.services.lps.http.app import build_app
from cj_pipeline.services.lps.queue.queue import QueueUnavailable
from cj_pipeline.services.lps.service import LlmProviderService
from cj_pipeline.services.lps.settings import LpsSettings
from cj_pipeline.services.shared.http_server import CannotServe, HttpServer, bound, warn_when_open

_log = logging.getLogger(__name__)


def serve(settings: LpsSettings, mode: Mode, bus: Bus, *, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal stops at once.

    ready: called with the base URL once requests are accepted. bus: closed at the end. Raises CannotServe.
    """
    with (
        # First: who has no port must not take over what another instance left in the queue.
        closing(bound(settings.host, settings.port)) as listening,
        _garbage_collected_seldom(),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(settings, mode, bus, listening, ready))


async def _serve(
    settings: LpsSettings, mode: Mode, bus: Bus, listening: socket.socket, ready: Callable[[str], None]
) -> None:
    async with bus_with_topics(bus, _topics(settings)):
        await _answer(LlmProviderService(settings, mode, bus, LoopClock()), bus, listening, ready)


def _topics(settings: LpsSettings) -> list[str]:
    """What this service publishes to, as far as it knows: requests name topics of their own."""
    usage = [USAGE_STARTED_TOPIC, USAGE_COMPLETED_TOPIC, USAGE_FAILURE_TOPIC]
    return [COMPARISON_RESULT_TOPIC, *(usage if settings.publish_llm_usage_events else [])]


async def _answer(
    service: LlmProviderService, bus: Bus, listening: socket.socket, ready: Callable[[str], None]
) -> None:
    try:
        await service.__aenter__()
    except QueueUnavailable as error:
        raise CannotServe(
            f"The queue's store cannot be reached: {error}. Is LLM_PROVIDER_SERVICE_REDIS_URL right?"
        ) from None
    server = HttpServer(build_app(service))
    stop = _on_signals(service, server, service.settings.shutdown_drain_seconds)
    serving = asyncio.create_task(server.serve([listening]), name="lps-http")
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        if server.started:
            url = server.url()
            for change in service.manifest.changes:
                _log.info("%s", change, extra={"manifest": str(service.settings.model_manifest_path)})
            guarded = bool(service.settings.admin_key()) or not service.settings.admin_api_enabled
            warn_when_open(
                service.settings.host,
                guarded,
                "test providers, which costs money; set LLM_PROVIDER_SERVICE_ADMIN_API_KEY",
            )
            _log.info("listening", extra={"url": url, "mode": service.mode.expression, "bus": str(bus)})
            ready(url)
        await serving
    finally:
        stop()
        await service.__aexit__()
        _log.info("stopped")


def _on_signals(service: LlmProviderService, server: HttpServer, drain_s: float) -> Callable[[], None]:
    """Drain on the first signal, stop on the second. Returns what takes the handlers away."""
    loop = asyncio.get_running_loop()
    drains: list[asyncio.Task[None]] = []

    async def drain() -> None:
        # Meanwhile HTTP goes on: a POST is refused with 503, and status, results and health can still be asked.
        try:
            await service.drain(drain_s)
        except Exception as error:  # the task is awaited by nobody: without this the log would not know
            _log.error("the drain broke (%s)", type(error).__name__)
        finally:  # also of a drain that broke: a process that neither works nor ends would be killed without a word
            server.stop()

    def on_signal() -> None:
        if drains:
            _log.warning("stopping at once")
            drains[0].cancel()
            server.should_exit = server.force_exit = True
            return
        _log.info("draining", extra={"seconds": drain_s})
        drains.append(loop.create_task(drain(), name="lps-drain"))

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, on_signal)

    def remove() -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)

    return remove


@contextmanager
def _garbage_collected_seldom() -> Generator[None, None, None]:
    """Every 700 new objects, as by default, means several times a millisecond, over all that waits in the queue.

    With 40,000 requests waiting it took a sixth of the time and pauses of 0.2 s. What lives as long as the process is
    not looked at any more.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
    try:
        yield
    finally:
        # What is frozen at the end of the process DuckDB's binding calls leaked, in 60 lines on standard error.
        gc.unfreeze()
        gc.set_threshold(*thresholds)
