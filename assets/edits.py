"""This module declares the sensor that notices an edited scenario.yaml or mode, so that what was made of it is stale.

Dagster compares the data versions of what was materialised, and looks at no file. The sensor observes `trace` and
`mode` of an edited scenario again; what reads them then shows as stale. It launches nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetRecordsFilter,
    DagsterInstance,
    DefaultSensorStatus,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from assets.partitions import ScenarioPartitions
from assets.specs import MODE, TRACE
from assets.trace import trace_version
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.mock.mode.files import MODES_FOLDER
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.traces.scenario import SCENARIO_FILE, read_scenario

EDITS = "edited_scenarios"
VERSION_TAG = "dagster/data_version"
DIGITS = 16


def edits_sensor(scenarios: ScenarioPartitions) -> SensorDefinition:
    """Declare the sensor `edited_scenarios`, which looks every half minute."""

    @sensor(
        name=EDITS,
        minimum_interval_seconds=30,
        default_status=DefaultSensorStatus.RUNNING,
        description="Observes `trace` and `mode` again where scenario.yaml or a mode was edited since they were "
        "materialised, so that what was made of them shows as stale. Launches nothing.",
    )
    def edited_scenarios(context: SensorEvaluationContext) -> SensorResult:
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        shipped = _digest(MODES_FOLDER.rglob("*.yaml"))
        now = {
            name: _digest((scenarios.traces_dir / name).glob("*.yaml"), shipped)
            for name in scenarios.get_partition_keys()
        }
        events = [
            event
            for name, digest in now.items()
            if seen.get(name) != digest
            for event in _observed(context.instance, scenarios.traces_dir / name)
        ]
        edited = sorted({str(event.partition) for event in events})
        return SensorResult(
            asset_events=events,
            skip_reason=SkipReason(f"Edited: {', '.join(edited)}." if edited else f"None of {len(now)} was edited."),
            cursor=json.dumps(now, sort_keys=True),
        )

    return edited_scenarios


def _observed(instance: DagsterInstance, folder: Path) -> Iterator[AssetMaterialization]:
    """Yield what is no longer as it was materialised; nothing for a scenario that never was, or cannot be read."""
    file = folder / SCENARIO_FILE
    try:
        found = {TRACE: trace_version(folder), MODE: scenario_mode(read_scenario(file), scenario_file=file).sha256()}
    except (CjPipelineError, OSError):
        return  # its own run says why
    for key, version in found.items():
        known = _materialised(instance, key, folder.name)
        if known not in (None, version):
            yield AssetMaterialization(
                key, description="Edited on disk.", partition=folder.name, tags={VERSION_TAG: version}
            )


def _materialised(instance: DagsterInstance, key: AssetKey, scenario_id: str) -> str | None:
    """Return the data version that an asset of one scenario was last seen with; None before the first."""
    found = instance.fetch_materializations(AssetRecordsFilter(key, asset_partitions=[scenario_id]), limit=1).records
    made = found[0].asset_materialization if found else None
    return None if made is None or made.tags is None else made.tags.get(VERSION_TAG)


def _digest(paths: Iterator[Path], *more: str) -> str:
    digest = sha256(" ".join(more).encode())
    for path in sorted(paths):
        try:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        except OSError:  # gone meanwhile
            continue
    return digest.hexdigest()[:DIGITS]
