"""`cj-pipeline lps serve` as a process of its own, started, signalled and killed by a test.

Here: the process, its log, the files that its callbacks go to. Not here: what is posted (lab.py), assertions.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from select import select
from typing import IO, Any, Self

from tests.services.lps.lab import TOPIC

CLI = Path(sys.executable).with_name("cj-pipeline")
PREFIX = "LLM_PROVIDER_SERVICE_"

# Importing everything that the terminal can do takes 1.3 s of an idle core; tests share two.
_START_S = 30.0
_END_S = 30.0


def command(*arguments: object) -> list[str]:
    return [str(CLI), "lps", "serve", *map(str, arguments)]


def environment(**settings: object) -> dict[str, str]:
    """The environment of a process that is set up by these settings alone. Names are those of LpsSettings."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "CJ_PIPELINE_", "KAFKA_"))
    }
    return inherited | {PREFIX + name.upper(): str(value) for name, value in settings.items()}


def refused(folder: Path, *arguments: object, **settings: object) -> tuple[int, str]:
    """(exit code, standard error) of a process that cannot start."""
    ended = subprocess.run(
        command(*arguments), env=environment(**settings), cwd=folder, capture_output=True, text=True, timeout=_END_S
    )
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


class Served:
    """One process, and the next one in its place after a kill: same port, same folder, same settings.

    settings: names and values of LpsSettings. kafka: a cluster, instead of the folder, for its callbacks.
    It starts at once; `wait_until_ready` comes before anything else.
    """

    def __init__(self, folder: Path, name: str = "lps", *, kafka: str | None = None, **settings: object) -> None:
        self.folder = folder / "callbacks"
        self.url = ""
        self._home = folder
        self._log_path = folder / f"{name}.log"
        self._settings = settings
        self._bus = ("--callbacks", self.folder) if kafka is None else ("--kafka", kafka)
        self._port = 0
        self._ready = False
        self._process = self._started()

    def __enter__(self) -> Self:
        return self.wait_until_ready()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """Standard error of all processes so far."""
        return self._log_path.read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        """Raises ValueError unless every line is a JSON object."""
        lines = [json.loads(line) for line in self.log.splitlines()]
        if not all(isinstance(line, dict) for line in lines):
            raise ValueError("a line of the log is not an object")
        return lines

    def callbacks(self, topic: str = TOPIC) -> list[bytes]:
        """The whole lines of a topic's file."""
        path = self.folder / f"{topic}.jsonl"
        return path.read_bytes().split(b"\n")[:-1] if path.exists() else []

    def wait_for_callbacks(self, count: int, within_s: float = 20.0) -> list[bytes]:
        for _ in ticks(within_s):
            if len(found := self.callbacks()) >= count:
                return found
        raise AssertionError(f"{len(found)} callbacks of {count} after {within_s:g} s; the log:\n{self.log[-4000:]}")

    def wait_until_ready(self) -> Self:
        if self._ready:
            return self
        line = _line_of(self._process.stdout, _START_S)
        if not line.startswith("listening on "):
            self.kill()
            raise AssertionError(f"the service did not start; it said:\n{self.log[-4000:]}")
        self.url = line.removeprefix("listening on ").strip()
        self._port = int(self.url.rpartition(":")[2])
        self._ready = True
        return self

    def start_again(self) -> Self:
        """On the port of the one before. Returns at once."""
        self._ready = False
        self._process = self._started()
        return self

    def kill(self) -> None:
        """As a machine that dies would."""
        self._process.kill()
        self._reap()

    def send(self, which: signal.Signals) -> None:
        self._process.send_signal(which)

    def terminate(self) -> None:
        self.send(signal.SIGTERM)

    def wait(self, within_s: float = _END_S) -> int:
        """The exit code of a process that is about to end."""
        code = self._process.wait(within_s)
        self._reap()
        return code

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def _reap(self) -> None:
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log_path.open("ab") as log:
            return subprocess.Popen(
                command("--host", "127.0.0.1", "--port", self._port, *self._bus),
                env=environment(**self._settings),
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )


def ticks(within_s: float) -> Iterator[None]:
    """Every 10 ms for so long."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        yield
        time.sleep(0.01)


def _line_of(stream: IO[bytes] | None, within_s: float) -> str:
    """One line, or what there is of it when the stream ends or time is up."""
    assert stream is not None
    line, deadline = b"", time.monotonic() + within_s
    while not line.endswith(b"\n") and select([stream], [], [], max(0.0, deadline - time.monotonic()))[0]:
        byte = os.read(stream.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode()
