"""Which bus a process uses: the one place where a folder and Kafka are chosen between.

Here: the order in which they are asked for. Not here: options and their names (cli/).
"""

from __future__ import annotations

from pathlib import Path

from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.bus.protocol import Bus


def choose_bus(folder: Path | None, kafka: str | None, default_folder: Path) -> Bus:
    """A folder that was named; else the cluster that was named; else that of KAFKA_BOOTSTRAP_SERVERS; else a folder.

    folder, kafka: what the caller was told, None for nothing; not both. kafka: HOST:PORT,...
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
    return KafkaBus(kafka_settings_from_environment(**given))
