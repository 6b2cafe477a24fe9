"""This module bounds what a client can hold of a server: connections, seconds, and bytes of requests not yet whole.

uvicorn's protocol has a limit for the bytes of a head, and none for how long a head or a body may take to arrive.
"""

from __future__ import annotations

import logging
import resource
from asyncio import TimerHandle, Transport
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_log = logging.getLogger(__name__)

MOST_HEAD_BYTES = 64 * 1024
MOST_CONNECTIONS = 1_000
HEAD_S = 10.0
BODY_S = 30.0
"""A body of 1 MiB takes 9 s over a line of 1 Mbit/s."""
UNREAD_S = 30.0
"""How long a client may leave answers unread before its connection is cut."""
MOST_BODY_BYTES = 64 * 2**20
"""Of all bodies together that have begun and are not whole."""

# Descriptors that are left for the bus, the database and files.
_RESERVED = 128
_LOG_EVERY_S = 10.0


class _Part(Enum):
    """What of a request a connection waits for."""

    HEAD = "head"
    BODY = "body"
    NOTHING = "nothing"
    """Kept open between two requests; uvicorn ends it after 5 s."""


def most_connections() -> int:
    """Return how many connections a server of this process may have: a thousand, or what its descriptors allow."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(MOST_CONNECTIONS, soft - _RESERVED))


@dataclass(slots=True)
class Limits:
    """The limits of one server and what is held at the moment."""

    connections: int = field(default_factory=most_connections)
    head_s: float = HEAD_S
    body_s: float = BODY_S
    unread_s: float = UNREAD_S
    body_bytes: int = MOST_BODY_BYTES
    open: set[LimitedProtocol] = field(default_factory=set)
    waiting: dict[LimitedProtocol, None] = field(default_factory=dict)
    """Those without a whole request, the oldest first: at the limit they give way, so that who asks is answered."""
    held_bytes: int = 0
    _quiet_until_s: float = 0.0

    def say(self, event: str, now_s: float) -> None:
        """Log that a limit is reached, not more often than every 10 s."""
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + _LOG_EVERY_S
            _log.warning(event, extra={"connections": len(self.open), "limit": self.connections})


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol with limits. An instance is one connection."""

    def __init__(self, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._part: _Part | None = None
        self._due: TimerHandle | None = None
        self._held_bytes = 0
        self._unread: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take a connection; at the limit the one that has waited longest for a request goes, or this one."""
        super().connection_made(transport)
        if len(self._limits.open) >= self._limits.connections:
            self._limits.say("the limit of connections is reached", self.loop.time())
            oldest = next(iter(self._limits.waiting), None)
            if oldest is None:
                self._end(HTTPStatus.SERVICE_UNAVAILABLE)
                return
            oldest._end(None)
        self._limits.open.add(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget()
        self._is_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait until the client reads what it was sent, for some time."""
        super().pause_writing()
        self._is_read()
        self._unread = self.loop.call_later(self._limits.unread_s, self._cut)

    def resume_writing(self) -> None:
        """Go on answering a client that reads."""
        super().resume_writing()
        self._is_read()

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _cut(self) -> None:
        self._limits.say("a client does not read its answers", self.loop.time())
        self._forget()
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Count what arrives of a body before it is whole."""
        super().data_received(data)
        if self._part is _Part.BODY:
            self._held_bytes += len(data)
            self._limits.held_bytes += len(data)
            if self._limits.held_bytes > self._limits.body_bytes:
                self._limits.say("the limit of bytes in requests not yet whole is reached", self.loop.time())
                self._end(HTTPStatus.SERVICE_UNAVAILABLE)

    def handle_events(self) -> None:
        """Read what has arrived, and see what is awaited now."""
        super().handle_events()
        self._watch()

    def _watch(self) -> None:
        """Start the clock of the part that is awaited; bytes that trickle in do not wind it up again."""
        part = None
        if self.conn.their_state is h11.SEND_BODY:
            part = _Part.BODY
        elif self.conn.their_state is h11.IDLE:
            part = _Part.HEAD if self.timeout_keep_alive_task is None else _Part.NOTHING
        if part is self._part or self.transport.is_closing():
            return
        self._stop_clock()
        self._part = part
        if part in (_Part.HEAD, _Part.BODY):
            seconds = self._limits.head_s if part is _Part.HEAD else self._limits.body_s
            self._due = self.loop.call_later(seconds, self._end, HTTPStatus.REQUEST_TIMEOUT)
        if part is not None:
            self._limits.waiting[self] = None

    def _stop_clock(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._limits.waiting.pop(self, None)
        self._limits.held_bytes -= self._held_bytes
        self._held_bytes = 0
        self._part = None

    def _forget(self) -> None:
        self._stop_clock()
        self._limits.open.discard(self)

    def _end(self, status: HTTPStatus | None) -> None:
        """Close the connection, with an answer where none has begun."""
        self._forget()
        if self.transport.is_closing():
            return
        if status is not None and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("content-length", "0"), ("connection", "close")]
            answer = h11.Response(status_code=status.value, headers=headers, reason=status.phrase.encode())
            self.transport.write((self.conn.send(answer) or b"") + self.conn.send(h11.EndOfMessage()))
            if self.cycle is not None:
                self.cycle.disconnected = True  # the app is told so, and what it still answers goes nowhere
        self.transport.close()
        if self._unread is None:  # what is still to be sent may never be read
            self._unread = self.loop.call_later(self._limits.unread_s, self.transport.abort)
