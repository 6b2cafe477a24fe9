"""This module finds free ports of the loopback interface, and says whether one is free or in use."""

from __future__ import annotations

import os
import socket
from itertools import count

from cj_pipeline.local.programs import CannotStart

LOOPBACK = "127.0.0.1"

# Below the range from which Linux gives outgoing connections their ports (32768 and up): a broker that is down for a
# moment would otherwise find a client on its port, or clients that call it find themselves.
_LOWEST, _HIGHEST = 20_000, 32_000
_NEXT = count()


def free_port() -> int:
    """Return a port that nobody listens on, never the same twice in a process. Raises CannotStart if there is none."""
    # Two processes that look at the same time start at different places.
    first = os.getpid() * 37
    for _ in range(_HIGHEST - _LOWEST):
        port = _LOWEST + (first + next(_NEXT)) % (_HIGHEST - _LOWEST)
        if is_free(port):
            return port
    raise CannotStart(f"No free port from {_LOWEST} to {_HIGHEST} on {LOOPBACK}.")


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket() as probe:
        # As servers do: what a killed one left behind in TIME_WAIT is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Return whether somebody accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0
