"""This module configures and formats one Kafka node in one folder; kafka_broker.py runs it.

A single node in KRaft mode, broker and controller in one process, on the loopback interface only.
"""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.local.ports import LOOPBACK, is_free, listens
from cj_pipeline.local.programs import CannotStart, java

# The first compiler alone and the simplest collector: 1.9 instead of 3.5 core-seconds until the node answers, 2.2
# instead of 4 s on two cores, and no fewer messages a second (measured over 300,000 of 1.1 KB).
_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOG = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    # A node that was killed is let in again when its last session has run out: 11 s by default, 3 s so.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "250",
    "auto.create.topics.enable": "true",
    "num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    # Kafka's own topics: one partition and one copy each, or the first consumer group waits for fifty.
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Recorded callbacks may carry time stamps of years ago; by age they would be gone within minutes.
    "log.retention.ms": "-1",
    # 128 MB by default, a quarter of the heap.
    "log.cleaner.dedupe.buffer.size": "4194304",
}


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """Where a node lives and listens.

    listeners: ports of further listeners by name; settings: over SETTINGS, such as what those listeners need.
    """

    folder: Path
    port: int
    controller_port: int
    listeners: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def bootstrap_servers(self) -> str:
        """Return the brokers for clients, as librdkafka takes them."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def log(self) -> Path:
        """Return the file of warnings and errors since its start."""
        return self.folder / "broker.log"

    @property
    def properties(self) -> Path:
        """Return its configuration, written at every start; readable by its user alone, for it may hold a password."""
        return self.folder / "server.properties"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def prepare(self, artifacts: KafkaArtifacts) -> list[str]:
        """Configure and, the first time, format the node; return the command that runs it. Raises CannotStart."""
        program, jars = java(), artifacts.verified()
        for port in (self.port, self.controller_port, *self.listeners.values()):
            if not is_free(port):
                raise CannotStart(
                    f"Port {port} of {LOOPBACK} is taken by another process. End that one, or name another port."
                )
        self._data.mkdir(parents=True, exist_ok=True)
        self._write_properties()
        classes = [str(program), *_JVM, *_LOG, "-cp", str(jars / "*")]
        if not (self._data / "meta.properties").exists():
            self._format(classes)
        return [*classes, "kafka.Kafka", str(self.properties)]

    def _write_properties(self) -> None:
        listeners = {"PLAINTEXT": self.port, **self.listeners}
        advertised = ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in listeners.items())
        settings = {
            **SETTINGS,
            **self.settings,
            "listeners": f"{advertised},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": advertised,
            "controller.quorum.voters": f"1@{LOOPBACK}:{self.controller_port}",
            "log.dirs": str(self._data),
        }
        self.properties.unlink(missing_ok=True)
        with os.fdopen(os.open(self.properties, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{name}={_escaped(value)}\n" for name, value in settings.items())

    def _format(self, classes: list[str]) -> None:
        # A new one with every format: by the cluster id a reader sees that the offsets which it remembers are of other
        # topics. Kafka's form: 22 characters of URL-safe base 64, no dash in front.
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()
        command = [*classes, "kafka.tools.StorageTool", "format"]
        arguments = ["--cluster-id", cluster.rstrip("=").replace("-", "_"), "--config", str(self.properties)]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
            raise CannotStart(f"Kafka cannot format '{self._data}': {last}")


def broker_answers(port: int) -> bool:
    """Return whether clients find a broker on a loopback port."""
    if not listens(port):
        return False
    # log_level 0: while the broker comes up, librdkafka would print every refusal.
    admin = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0})
    try:
        return len(admin.list_topics(timeout=1.0).brokers) > 0
    except KafkaException:
        return False


def _escaped(value: str) -> str:
    """Escape as Java's properties want it: a backslash doubled, what is not ASCII as UTF-16 in hexadecimal."""
    doubled = value.replace("\\", "\\\\")
    return "".join(
        letter if letter.isascii() else "".join(f"\\u{unit.hex()}" for unit in _utf16(letter)) for letter in doubled
    )


def _utf16(letter: str) -> list[bytes]:
    encoded = letter.encode("utf-16-be")
    return [encoded[start : start + 2] for start in range(0, len(encoded), 2)]
