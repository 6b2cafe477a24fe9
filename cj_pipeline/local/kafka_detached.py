"""The broker of a developer's machine: started by one command, stopped by another, alive in between.

Here: who runs, told by a lock, and starting and stopping across processes. Not here: the node (kafka_node.py), a broker
that ends with its owner (kafka_broker.py), the terminal (cli/kafka.py).

The broker's process holds a lock on `broker.pid` from its start to its end, however that comes. So a pid file that a
crash left behind is recognised, and a process that was given the same id since is never taken for the broker.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.local.kafka_node import START_TIMEOUT_S, KafkaNode
from cj_pipeline.local.ports import LOOPBACK, free_port
from cj_pipeline.local.programs import CannotStart

# A clean end takes 0.3 s; with many open segments some seconds.
_STOP_TIMEOUT_S = 30.0

# The broker becomes nobody's child, so that nothing waits for it; what it inherits is the lock, which ends with it.
_LAUNCH = ("/bin/sh", "-c", '"$@" </dev/null >>broker.log 2>&1 & echo $! >broker.pid', "launch")


class StillRunning(CannotStart):
    """What was asked for needs a broker that is stopped."""


@dataclass(frozen=True, slots=True)
class RunningBroker:
    """pid: of the Java process; port: on the loopback interface; folder: its data and log."""

    pid: int
    port: int
    folder: Path

    @property
    def bootstrap_servers(self) -> str:
        """As clients take them."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def log(self) -> Path:
        """Warnings and worse, since its start."""
        return self.folder / "broker.log"


@dataclass(frozen=True, slots=True)
class Started:
    """What a start came to. ran_already: another command had started it."""

    broker: RunningBroker
    ran_already: bool


class DetachedBroker:
    """The one broker of a folder, whichever process asks."""

    def __init__(self, folder: Path, artifacts: KafkaArtifacts) -> None:
        self._folder = folder.absolute()
        self._artifacts = artifacts

    def running(self) -> RunningBroker | None:
        """Which broker runs, or has just been launched; None when none does, or its files are still being fetched."""
        if not self._locked():
            return None
        # Between its launch and its first written line there is an instant in which the file is still empty.
        for _ in range(100):
            pid, port = self._written("broker.pid"), self._written("broker.port")
            if pid and port:
                return RunningBroker(pid, port, self._folder)
            time.sleep(0.01)
        return None

    def start(self, port: int) -> Started:
        """Return the broker once it answers: the one that runs already, whatever its port. Raises CannotStart."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "broker.pid").open("a+") as lock:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not _taken(lock, fcntl.LOCK_EX):
                # It runs, or another command starts it; where that one gives up, the next turn takes its place.
                if (running := self.running()) is not None:
                    KafkaNode(self._folder, running.port, 0).wait_until_it_answers(self._locked)
                    return Started(running, ran_already=True)
                if time.monotonic() > deadline:
                    raise CannotStart("Another command is about to start the broker. Wait for that one.")
                time.sleep(0.02)
            lock.truncate(0)
            node = KafkaNode(self._folder, port, free_port())
            command = node.prepare(self._artifacts)
            (self._folder / "broker.port").write_text(f"{port}\n")
            subprocess.run(
                [*_LAUNCH, *command], cwd=self._folder, pass_fds=[lock.fileno()], start_new_session=True, check=True
            )
        try:
            node.wait_until_it_answers(self._locked)
        except BaseException:
            self.stop()
            raise
        started = self.running()
        if started is None:
            raise CannotStart(f"Kafka ended as soon as it had answered. Its log: '{node.log}'.")
        return Started(started, ran_already=False)

    def stop(self) -> RunningBroker | None:
        """SIGTERM, and SIGKILL when that does not end it; the broker that ran, None when none did. Its data stay."""
        broker = self.running()
        if broker is None:
            return None
        for sign in (signal.SIGTERM, signal.SIGKILL):
            # Asked again: without the lock the id may be somebody else's by now.
            if self._locked():
                os.kill(broker.pid, sign)
            deadline = time.monotonic() + _STOP_TIMEOUT_S
            while self._locked() and time.monotonic() < deadline:
                time.sleep(0.02)
        return broker

    def wipe(self) -> None:
        """Remove everything that it has stored. Raises StillRunning."""
        if self._locked():
            raise StillRunning("The broker runs. Stop it before its data are removed: cj-pipeline kafka stop")
        shutil.rmtree(self._folder / "data", ignore_errors=True)

    def _locked(self) -> bool:
        try:
            with (self._folder / "broker.pid").open() as lock:
                # Shared: two commands that ask at once do not take each other for the broker.
                return not _taken(lock, fcntl.LOCK_SH)
        except FileNotFoundError:
            return False

    def _written(self, name: str) -> int:
        """The number in a file; 0 when it is empty, not there or half written."""
        try:
            text = (self._folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return 0
        return int(text) if text.endswith("\n") and text.strip().isdigit() else 0


def _taken(lock: IO[str], kind: int) -> bool:
    """Take the lock, which ends when the file is closed; False when another process has it."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
