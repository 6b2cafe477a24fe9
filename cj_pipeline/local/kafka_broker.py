"""This module runs Apache Kafka as a child process: one node that ends with the program that starts it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cj_pipeline.local.kafka_artifacts import KafkaArtifacts, kafka_home
from cj_pipeline.local.kafka_node import KafkaNode, broker_answers
from cj_pipeline.local.ports import free_port
from cj_pipeline.local.server import Server, ServerSpec


class KafkaBroker(Server):
    """One Kafka node on the loopback interface. A context manager: starts it and, at the end, stops it.

    folder: its data, log and configuration, made when not there; the data outlive stop() and kill().
    port: 0 is any free one, kept over restarts.
    artifacts: the Kafka to run, by default the one in the common cache.
    listeners, settings: as KafkaNode takes them.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        artifacts: KafkaArtifacts | None = None,
        listeners: Mapping[str, int] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._node = node = KafkaNode(
            folder.absolute(), port or free_port(), free_port(), listeners or {}, settings or {}
        )
        super().__init__(
            ServerSpec(
                name="Kafka",
                address=node.bootstrap_servers,
                log=node.log,
                command=lambda: node.prepare(artifacts or KafkaArtifacts(kafka_home())),
                answers=lambda: broker_answers(node.port),
                # 2 s on an idle machine; a minute is for one whose cores are all taken.
                start_timeout_s=60.0,
                # A clean end takes 0.3 s; with many open segments some seconds.
                stop_timeout_s=30.0,
            )
        )

    @property
    def bootstrap_servers(self) -> str:
        """Return HOST:PORT for clients; known before the broker runs."""
        return self._node.bootstrap_servers

    def last_words(self) -> str:
        """Return the last complaint in its log, and where the log is: Java ends with a stack trace."""
        lines = self._log_lines()
        complaints = [line for line in lines if " ERROR " in line or "Exception: " in line or line.startswith("Error")]
        complaint = f"Its last complaint: {complaints[-1].rstrip('.')}. " if complaints else ""
        return f"{complaint}Its log: '{self.log}'."
