"""The one partitions definition that every scenario's assets share.

Here: which scenarios there are when the code location loads. Not here: reading a scenario (cj_pipeline/traces/).

Static, not dynamic: dynamic keys live in an instance, and `dagster asset materialize --partition` must know them in a
shell that has none. A scenario added while a webserver runs appears when its code location is reloaded.
"""

from __future__ import annotations

from pathlib import Path

from dagster import StaticPartitionsDefinition

from cj_pipeline.traces.store import TraceStore


def scenario_partitions(traces_dir: Path) -> StaticPartitionsDefinition:
    """A partition for each folder that holds a scenario.yaml, by name."""
    return StaticPartitionsDefinition(list(TraceStore(traces_dir).scenario_ids()))
