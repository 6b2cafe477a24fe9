"""This module binds the port of a served process and runs uvicorn on it, without uvicorn's signals and its own logs.

uvicorn speaks HTTP with h11, which refuses a head of more than 64 kB; its faster parser (httptools) has no such limit.
docs/decisions/0007 has the figures of both.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.services.shared.http_limits import MOST_HEAD_BYTES, LimitedProtocol, Limits

_log = logging.getLogger(__name__)

# As many connections as wait to be accepted at once when a load test opens them all; Linux caps it at somaxconn.
_BACKLOG = 2048


class CannotServe(CjPipelineError):
    """The process cannot start: its port is taken, or what it needs is away."""


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that has the port; who connects early waits. Raises CannotServe."""
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


def warn_when_open(host: str, guarded: bool, what: str) -> None:
    """Log that whoever reaches this machine can do `what`, unless it listens on loopback or asks for a key."""
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not (loopback or guarded):
        _log.warning("on %s, whoever reaches this machine can %s", host, what, extra={"host": host})


class HttpServer(uvicorn.Server):
    """uvicorn's server of one app. Signals are the caller's: uvicorn would end the process before its work is done."""

    def __init__(self, app: ASGIApp, limits: Limits | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=cast("type[asyncio.Protocol]", partial(LimitedProtocol, limits or Limits())),
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
                h11_max_incomplete_event_size=MOST_HEAD_BYTES,
            )
        )

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the caller."""
        yield

    def stop(self) -> None:
        """Accept nothing more, and end when what was asked is answered."""
        self.should_exit = True

    def url(self) -> str:
        """Return the address; it names the port that the system chose for port 0."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
