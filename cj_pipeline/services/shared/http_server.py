"""HTTP of a served process: its port, and the server on it.

Here: binding, and uvicorn without its signals and its own logs. Not here: what is served, and what a signal does (the
services' serve.py).

uvicorn with httptools on uvloop: of the ASGI servers measured (docs/decisions/0007 has the table) the one with the
highest rate and the lowest p99 for a body that must be read and answered by Python code.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cj_pipeline.foundation.errors import CjPipelineError

# As many connections as wait to be accepted at once when a load test opens them all; Linux caps it at somaxconn.
_BACKLOG = 2048


class CannotServe(CjPipelineError):
    """The process cannot start: its port is taken, or what it needs is away."""


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the port; who connects early waits. Raises CannotServe."""
    # Not left to uvicorn, which logs why it cannot and ends the process with 3.
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotServe(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise CannotServe(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
    return listening


class HttpServer(uvicorn.Server):
    """uvicorn's server of one app, whose signals are ours: it would end the process before its work is done."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_OneWriteProtocol,
                ws="none",
                lifespan="off",
                proxy_headers=False,
                log_config=None,
                # It tells where it listens as well, in colours.
                log_level=max(logging.WARNING, logging.getLogger().level),
                access_log=False,
                backlog=_BACKLOG,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave them to who serves."""
        yield

    def stop(self) -> None:
        """Accept nothing more, and end when what was asked is answered."""
        self.should_exit = True

    def url(self) -> str:
        """Where it listens; tells the port that the system chose for port 0."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


class _OneWriteProtocol(HttpToolsProtocol):
    """uvicorn's protocol, whose responses go out in one system call: it writes head and body apart."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Gathering(transport))  # type: ignore[arg-type]


class _Gathering:
    """A transport that writes once a turn of the loop. A write takes 10 us, a fifth of what a small request costs."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if pending and not self._transport.is_closing():
            self._transport.write(b"".join(pending))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
