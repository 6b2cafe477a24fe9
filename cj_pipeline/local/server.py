"""This module runs one server of this machine as a child process: it starts, stops and kills it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.local.ports import listens
from cj_pipeline.local.programs import CannotStart

# Ends the server and what it has started when its owner is gone, also by SIGKILL: the owner holds the other end of the
# guard's standard input. Not PR_SET_PDEATHSIG: that is sent when the thread ends which started the server, and only on
# Linux.
_GUARD = ("/bin/sh", "-c", 'read -r _; kill -KILL "-$0"')

_POLL_S = 0.02
_LAST_LINES = 12

# How late the end of a server is noticed; five looks a second cost nothing.
_LOOK_S = 0.2


class ServerEnded(CjPipelineError):
    """A server ended that was to run on."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """What a server is: its command, and how one knows that it is up.

    address: a URL, or HOST:PORT; command: the arguments, computed at every start, may raise CannotStart;
    answers: whether clients reach it; stop_signal: SIGKILL for a program that does not end on SIGTERM;
    start_timeout_s, stop_timeout_s: seconds until a start counts as failed, and until SIGKILL follows the stop signal.
    """

    name: str
    address: str
    log: Path
    command: Callable[[], Sequence[str]]
    answers: Callable[[], bool]
    environment: Mapping[str, str] | None = None
    folder: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    start_timeout_s: float = 120.0
    stop_timeout_s: float = 30.0


class Server:
    """A server that ends with the process that starts it. A context manager: starts it and, at the end, stops it."""

    def __init__(self, spec: ServerSpec) -> None:
        self.spec = spec
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Return the log since its start; that of the run before is in a file ending in `.1`."""
        return self.spec.log

    @property
    def pid(self) -> int | None:
        """Return its process id; None before a start and after a stop."""
        return None if self._process is None else self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return the exit code of a server that has ended by itself; None while it runs."""
        return None if self._process is None else self._process.poll()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Return once it answers; at once when it runs already. Raises CannotStart with the end of its log."""
        if self._process is not None and self._process.poll() is None:
            return
        self._end_guard()
        command = self.spec.command()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        with self.log.open("wb") as log:
            try:
                # A session of its own: Ctrl-C in the owner's terminal is the owner's to answer.
                self._process = subprocess.Popen(
                    command,
                    env=self.spec.environment,
                    cwd=self.spec.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise CannotStart(f"{command[0]} cannot be run: {error.strerror}.") from None
        guard = [*_GUARD, str(self._process.pid)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Send the stop signal, and SIGKILL when that does not end it. Does nothing when it does not run."""
        self._end(self.spec.stop_signal)

    def kill(self) -> None:
        """Send SIGKILL, as a machine without memory would; start() brings it back."""
        self._end(signal.SIGKILL)

    def last_words(self) -> str:
        """Return the end of its log, and where the log is."""
        lines = self._log_lines()[-_LAST_LINES:]
        shown = "".join(f"\n  {line[:300]}" for line in lines)
        return f"Its log, '{self.log}', ends:{shown}" if shown else f"Its log, '{self.log}', is empty."

    def _log_lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.spec.start_timeout_s
        while not self.spec.answers():
            if process.poll() is not None:
                raise CannotStart(f"{self.spec.name} ended while it started. {self.last_words()}")
            if time.monotonic() > deadline:
                waited = f"{self.spec.start_timeout_s:g} s"
                raise CannotStart(
                    f"{self.spec.name} does not answer at {self.spec.address} after {waited}. {self.last_words()}"
                )
            time.sleep(_POLL_S)

    def _end(self, which: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(which)
            if which is not signal.SIGKILL:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(self.spec.stop_timeout_s)
            # Also after a clean end: what it started may still run, and keeps the number of the group from others.
            # macOS raises PermissionError for a group of zombies.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        # Last: a second Ctrl-C may end the owner in one of the waits above.
        self._end_guard()

    def _end_guard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None


def wait_for_an_end(servers: Iterable[Server]) -> None:
    """Wait until one of the servers ends by itself. Raises ServerEnded with the last lines of its log."""
    servers = tuple(servers)
    while True:
        for server in servers:
            if server.exit_code is not None:
                how = f"exit code {server.exit_code}" if server.exit_code >= 0 else f"signal {-server.exit_code}"
                raise ServerEnded(f"{server.spec.name} ended ({how}). {server.last_words()}")
        time.sleep(_LOOK_S)


def http_answers(port: int, url: str) -> bool:
    """Return whether a server on a loopback port answers a GET with 200."""
    # A client costs 20 ms to make: none is made before somebody listens. trust_env: no proxy stands before loopback.
    try:
        return listens(port) and httpx.get(url, timeout=5.0, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
