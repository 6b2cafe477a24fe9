"""This module is the group `cj-pipeline traces`; its commands are imported when they are called."""

from __future__ import annotations

import click

from cj_pipeline.cli.on_demand import CommandsOnDemand

_PLACES = {
    "capture": ("cj_pipeline.cli.capture:capture_command", "Capture a batch from Kafka."),
    "import": ("cj_pipeline.cli.imports:import_command", "Import callbacks, an ENG5 artefact or a CJ database."),
    "list": ("cj_pipeline.cli.trace_list:list_traces", "List the scenarios with their traces."),
    "reconstruct": ("cj_pipeline.cli.trace_folders:reconstruct", "Write a trace from published figures."),
    "redact": ("cj_pipeline.cli.redact:redact", "Copy a trace without names and texts."),
    "summarise": ("cj_pipeline.cli.trace_folders:summarise_trace", "Print the summary of a recording."),
    "validate": ("cj_pipeline.cli.trace_folders:validate", "Check that traces are intact and can run."),
}


@click.group(cls=CommandsOnDemand, places=_PLACES)
def traces() -> None:
    """Recorded scenarios: capture and import them, redact, list, validate, summarise, reconstruct."""
