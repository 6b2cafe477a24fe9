"""`cj-pipeline traces`: the group.

Here: where its commands are. Not here: the commands, which need more or less of the platform: what captures needs a
client of Kafka's and no parity, what validates the reverse, and either takes a second to import.
"""

from __future__ import annotations

import click

from cj_pipeline.cli.on_demand import CommandsOnDemand

_PLACES = {
    "capture": "cj_pipeline.cli.capture:capture_command",
    "import": "cj_pipeline.cli.imports:import_command",
    "list": "cj_pipeline.cli.trace_folders:list_traces",
    "reconstruct": "cj_pipeline.cli.trace_folders:reconstruct",
    "redact": "cj_pipeline.cli.redact:redact",
    "summarise": "cj_pipeline.cli.trace_folders:summarise_trace",
    "validate": "cj_pipeline.cli.trace_folders:validate",
}


@click.group(cls=CommandsOnDemand, places=_PLACES)
def traces() -> None:
    """Recorded scenarios: capture and import them, redact, list, validate, summarise, reconstruct."""
