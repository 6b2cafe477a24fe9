"""How much processor time do all descendants of this process take, also those that have ended?

Reads /proc every half second: of a process that ends, its last half second is missing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

EVERY_S = 0.5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def _statistics() -> Iterator[tuple[int, int, int, int]]:
    """Yield (process, its parent, ticks so far, when it started) of every process."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        yield int(path.parent.name), int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[19])


def listening_postgres(port: int) -> int:
    """Return the process id of the PostgreSQL server on a port, which is nobody's child."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"postgres") and f"port={port}".encode() in b" ".join(words):
            return int(path.parent.name)
    raise LookupError(f"no PostgreSQL listens on port {port}")


class ProcessTime:
    """A context manager that looks at some processes, and at all that they and this one have started, until its end."""

    def __init__(self, *others: int) -> None:
        self._known = {os.getpid(), *others}
        self._ticks: dict[tuple[int, int], int] = {}
        self._before: dict[tuple[int, int], int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look_until_the_end, daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._before = dict(self._ticks)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def seconds(self) -> float:
        """Return what they have taken since the start."""
        ticks = dict(self._ticks)
        return sum(now - self._before.get(one, 0) for one, now in ticks.items()) / _TICKS_PER_S

    def _look_until_the_end(self) -> None:
        while not self._end.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        for process, parent, ticks, started in sorted(_statistics()):
            if process in self._known or parent in self._known:
                self._known.add(process)
                if process != os.getpid():
                    self._ticks[process, started] = ticks
