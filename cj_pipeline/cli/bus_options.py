"""This module defines the options by which a served process gets its bus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cj_pipeline.foundation.errors import BadInput

if TYPE_CHECKING:
    from cj_pipeline.bus.protocol import Bus

kafka_option = click.option(
    "--kafka",
    metavar="HOST:PORT,...",
    help="Brokers of the Kafka cluster to use [KAFKA_BOOTSTRAP_SERVERS, and KAFKA_* for the rest].",
)


def bus_of_a_service(
    folder: Path | None, kafka: str | None, folder_option: str, *, production_needs: str = "", **kafka_settings: str
) -> Bus:
    """Return the bus that is meant. folder_option: how the folder's option is called here.

    production_needs: in production, the variable that names the cluster; a folder is refused then.
    Raises click.UsageError when both are given; BadInput for a folder in production; what create_bus raises.
    """
    from cj_pipeline.bus.factory import create_bus
    from cj_pipeline.bus.folder import FolderBus
    from cj_pipeline.foundation.settings import PipelineSettings

    if folder is not None and kafka is not None:
        raise click.UsageError(f"Give {folder_option} or --kafka, not both.")
    bus = create_bus(folder, kafka, PipelineSettings().data_dir / "callbacks", **kafka_settings)
    if production_needs and isinstance(bus, FolderBus):
        raise BadInput(
            f"counts as production, where the {bus} is no bus: no other service would read it.",
            path="environment",
            field="ENVIRONMENT",
            remedy=f"Set {production_needs} to HOST:PORT of a broker.",
        )
    return bus
