"""A broker that belongs to the program that starts it: for tests, and for a whole stack in one command.

Here: its process: started, stopped, killed, and ended with its owner. Not here: its configuration (kafka_node.py), the
broker that outlives the command that starts it (kafka_detached.py).
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from cj_pipeline.local.kafka_artifacts import KafkaArtifacts, kafka_home
from cj_pipeline.local.kafka_node import GuardedListeners, KafkaNode
from cj_pipeline.local.ports import LOOPBACK, free_port

# A clean end takes 0.3 s; with many open segments some seconds.
_STOP_TIMEOUT_S = 30.0

# Ends the broker when its owner is gone, however that went: the owner holds the other end of its standard input. Not
# PR_SET_PDEATHSIG: that is sent when the thread ends which started the broker, and only on Linux.
_GUARD = ("/bin/sh", "-c", 'read -r _; kill -KILL "$0"')


class KafkaBroker:
    """One Apache Kafka node on the loopback interface. A context manager: starts it and, at the end, stops it.

    folder: its data, log and configuration, made when not there; data outlives stop() and kill().
    port: 0 is any free one; this and the others are kept over restarts.
    sasl: user (letters, digits, _) and password of two further listeners that demand them (SASL/PLAIN), one of them
    in TLS.
    artifacts: the Kafka to run, by default the one in the common cache.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        sasl: tuple[str, str] | None = None,
        artifacts: KafkaArtifacts | None = None,
    ) -> None:
        self._artifacts = artifacts
        guarded = None if sasl is None else GuardedListeners(*sasl, sasl_port=free_port(), tls_port=free_port())
        self._node = KafkaNode(folder.absolute(), port or free_port(), free_port(), guarded)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """For clients; known before the broker runs."""
        return self._node.bootstrap_servers

    @property
    def sasl_bootstrap_servers(self) -> str:
        """The listener that demands user and password (SASL_PLAINTEXT). Raises ValueError where there is none."""
        return f"{LOOPBACK}:{self._guarded.sasl_port}"

    @property
    def tls_bootstrap_servers(self) -> str:
        """The one that demands them in TLS (SASL_SSL). Raises ValueError where there is none."""
        return f"{LOOPBACK}:{self._guarded.tls_port}"

    @property
    def authority(self) -> Path:
        """The certificate (PEM) that clients in TLS must trust; there once the broker has been started."""
        return self._node.folder / "tls" / "authority.pem"

    @property
    def _guarded(self) -> GuardedListeners:
        if self._node.guarded is None:
            raise ValueError("this broker was made without sasl=(user, password)")
        return self._node.guarded

    @property
    def log(self) -> Path:
        """Warnings and worse, since its start."""
        return self._node.log

    @property
    def pid(self) -> int | None:
        """Of the Java process; None while none runs."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Return once it answers; at once when it runs already. Raises CannotStart."""
        if self._process is not None and self._process.poll() is None:
            return
        self._end_guard()
        artifacts = KafkaArtifacts(kafka_home()) if self._artifacts is None else self._artifacts
        command = self._node.prepare(artifacts)
        # A session of their own: Ctrl-C in the owner's terminal is the owner's to answer.
        with self._node.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        process = self._process
        self._guard = subprocess.Popen([*_GUARD, str(process.pid)], stdin=subprocess.PIPE, start_new_session=True)
        try:
            self._node.wait_until_it_answers(lambda: process.poll() is None)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that does not end it; its data stay. Does nothing when it does not run."""
        # The guard first: once the broker is reaped, its process id may become somebody else's.
        self._end_guard()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """SIGKILL, as the machine would; its data stay, and start() brings it back on the same port."""
        self._end_guard()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _end_guard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
