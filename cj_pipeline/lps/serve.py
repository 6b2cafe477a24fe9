"""The service as a process: HTTP on a port, callbacks on a bus, until it is told to stop.

Here: the server, signals, the drain. Not here: the app (app.py), the service (service.py), the command line (cli/).

uvicorn with httptools on uvloop: of the ASGI servers measured (benchmarks/lps_http.py names them) the one with the
highest rate and the lowest p99 for a body that must be read and answered by Python code.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager

import uvicorn

from cj_pipeline.bus.protocol import Bus
from cj_pipeline.clock import LoopClock
from cj_pipeline.errors import CjPipelineError
from cj_pipeline.lps.app import build_app
from cj_pipeline.lps.mode import Mode
from cj_pipeline.lps.queue import QueueUnavailable
from cj_pipeline.lps.service import LlmProviderService
from cj_pipeline.lps.settings import LpsSettings

_log = logging.getLogger(__name__)

# As many connections as wait to be accepted at once when a load test opens them all; Linux caps it at somaxconn.
_BACKLOG = 2048


class CannotServe(CjPipelineError):
    """The process cannot start: its port is taken, or its queue's store is away."""


def serve(settings: LpsSettings, mode: Mode, bus: Bus, *, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal stops at once.

    ready: called with the base URL once requests are accepted. Raises CannotServe.
    """
    with (
        # First: who has no port must not take over what another instance left in the queue.
        closing(_bound(settings.host, settings.port)) as listening,
        _garbage_collected_seldom(),
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.run(_serve(settings, mode, bus, listening, ready))


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has the port; who connects early waits. Raises CannotServe."""
    # Not left to uvicorn, which logs why it cannot and ends the process with 3.
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotServe(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise CannotServe(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
    return bound


async def _serve(
    settings: LpsSettings, mode: Mode, bus: Bus, listening: socket.socket, ready: Callable[[str], None]
) -> None:
    service = LlmProviderService(settings, mode, bus, LoopClock())
    try:
        await service.__aenter__()
    except QueueUnavailable as error:
        raise CannotServe(
            f"The queue's store cannot be reached: {error}. Is LLM_PROVIDER_SERVICE_REDIS_URL right?"
        ) from None
    server = _Server(
        uvicorn.Config(
            build_app(service),
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            # It tells where it listens as well, in colours.
            log_level=max(logging.WARNING, logging.getLogger().level),
            access_log=False,
            backlog=_BACKLOG,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    )
    stop = _on_signals(service, server, settings.shutdown_drain_seconds)
    serving = asyncio.create_task(server.serve([listening]), name="lps-http")
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        if server.started:
            url = server.url()
            _log.info("listening", extra={"url": url, "mode": service.mode.expression})
            ready(url)
        await serving
    finally:
        stop()
        await service.__aexit__()
        _log.info("stopped")


class _Server(uvicorn.Server):
    """uvicorn's server, whose signals are ours: it would end the process before the queue is drained."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    def url(self) -> str:
        """Where it listens; tells the port that the system chose for port 0."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _on_signals(service: LlmProviderService, server: uvicorn.Server, drain_s: float) -> Callable[[], None]:
    """Drain on the first signal, stop on the second. Returns what takes the handlers away."""
    loop = asyncio.get_running_loop()
    drains: list[asyncio.Task[None]] = []

    async def drain() -> None:
        # Meanwhile HTTP goes on: a POST is refused with 503, and status, results and health can still be asked.
        await service.drain(drain_s)
        server.should_exit = True

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


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop
