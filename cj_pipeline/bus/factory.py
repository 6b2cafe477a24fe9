"""This module chooses between a folder and Kafka: the one place where a process gets its bus."""

from __future__ import annotations

from pathlib import Path

from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.bus.protocol import Bus


def create_bus(folder: Path | None, kafka: str | None, default_folder: Path, **kafka_settings: str) -> Bus:
    """Return the bus of a named folder, else of a named cluster, else of KAFKA_BOOTSTRAP_SERVERS, else of a folder.

    folder, kafka: what the user named, None for nothing; not both. kafka: HOST:PORT,...
    kafka_settings: of KafkaSettings, which count instead of KAFKA_*.
    Raises BadInput as FolderBus and kafka_settings_from_environment do.
    """
    if folder is not None:
        return FolderBus(folder)
    # Here and not above: the client takes 40 ms to import, and a folder needs none.
    from cj_pipeline.bus.kafka.bus import KafkaBus
    from cj_pipeline.bus.kafka.settings import kafka_is_configured, kafka_settings_from_environment

    if kafka is None and not kafka_is_configured():
        return FolderBus(default_folder)
    given = {} if kafka is None else {"bootstrap_servers": kafka}
    return KafkaBus(kafka_settings_from_environment(**given, **kafka_settings))
