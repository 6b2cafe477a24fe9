"""This module defines the options by which a served process gets its bus."""

from __future__ import annotations

from pathlib import Path

import click

from cj_pipeline.bus.factory import create_bus
from cj_pipeline.bus.protocol import Bus
from cj_pipeline.foundation.settings import PipelineSettings

kafka_option = click.option(
    "--kafka",
    metavar="HOST:PORT,...",
    help="Brokers of the Kafka cluster to use [KAFKA_BOOTSTRAP_SERVERS, and KAFKA_* for the rest].",
)


def bus_of_a_service(folder: Path | None, kafka: str | None, folder_option: str) -> Bus:
    """Return the bus that is meant. folder_option: how the folder's option is called here.

    Raises click.UsageError when both are given; what create_bus raises.
    """
    if folder is not None and kafka is not None:
        raise click.UsageError(f"Give {folder_option} or --kafka, not both.")
    return create_bus(folder, kafka, PipelineSettings().data_dir / "callbacks")
