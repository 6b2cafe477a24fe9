"""This module turns the options that name a deployed LPS (its URL, its bus, a label) into a `Deployment`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cj_pipeline.foundation.errors import shortened
from cj_pipeline.foundation.names import LABEL, fault_of

if TYPE_CHECKING:
    from cj_pipeline.bus.protocol import Bus
    from cj_pipeline.runs.remote import Deployment


def deployment_of(
    lps_url: str | None, kafka: str | None, bus_folder: Path | None, *, takes_mode: bool = False
) -> Deployment | None:
    """Return the deployment that is meant, None without --lps. takes_mode: whether the command has --mode.

    Raises click.UsageError for options that do not go together.
    """
    if lps_url is None:
        if kafka is not None or bus_folder is not None:
            raise click.UsageError("--kafka and --bus go with --lps.")
        return None
    if kafka is not None and bus_folder is not None:
        raise click.UsageError("Give --kafka or --bus, not both.")
    if not lps_url.startswith(("http://", "https://")):
        raise click.UsageError(f"--lps: '{lps_url}' is no URL; it begins with http:// or https://.")
    from cj_pipeline.runs.remote import Deployment  # here: it imports HTTP, which two recordings do without

    return Deployment(
        url=lps_url,
        open_bus=bus_opener(kafka, bus_folder),
        notice=lambda sentence: click.echo(sentence, err=True),
        takes_mode=takes_mode,
    )


def label_of(deployment: Deployment | None, label: str | None) -> str:
    """Return the label of a run's batches; a fresh one for a deployment. Raises click.UsageError."""
    from cj_pipeline.runs.remote import fresh_label

    if label is None:
        return "" if deployment is None else fresh_label()
    if (fault := fault_of(label, LABEL)) is not None:
        raise click.UsageError(f"--label: '{shortened(label)}' {fault}. {LABEL.words}")
    return label


def bus_opener(kafka: str | None, bus_folder: Path | None) -> Callable[[], Bus]:
    """Return how to open the bus that is meant, by the rules by which the services choose theirs."""
    from cj_pipeline.bus.factory import create_bus
    from cj_pipeline.foundation.settings import PipelineSettings

    return lambda: create_bus(bus_folder, kafka, PipelineSettings().data_dir / "callbacks")
