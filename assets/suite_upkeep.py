"""This module keeps `parity/suite` and `warehouse` about what is there: a job that makes both again, and its sensor.

Both are made by the run of a scenario. A run that broke off before them leaves them red in the UI, although nothing is
wrong with them, and a scenario whose folder is gone leaves its line behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import (
    AssetSelection,
    DagsterInstance,
    DefaultSensorStatus,
    EventLogEntry,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    TableMetadataValue,
    define_asset_job,
    sensor,
)

from assets.partitions import ScenarioPartitions
from assets.specs import CATALOGUE, SUITE
from assets.suite import SCENARIO, SCENARIOS

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

SUITE_JOB = "suite_refresh"


def suite_job() -> UnresolvedAssetJobDefinition:
    """Declare the job `suite_refresh`."""
    return define_asset_job(
        SUITE_JOB,
        AssetSelection.assets(CATALOGUE, SUITE),
        description="The line of every scenario, and the catalogue, from what is published. Compares nothing.",
    )


def suite_sensor(scenarios: ScenarioPartitions) -> SensorDefinition:
    """Declare the sensor `suite_upkeep`, which looks every half minute."""

    @sensor(
        name="suite_upkeep",
        job_name=SUITE_JOB,
        minimum_interval_seconds=30,
        default_status=DefaultSensorStatus.RUNNING,
        description="Makes `parity/suite` and `warehouse` again after a run that broke off before them, and when a "
        "scenario on it is gone.",
    )
    def suite_upkeep(context: SensorEvaluationContext) -> RunRequest | SkipReason:
        found = context.instance.get_asset_records([SUITE])
        made = found[0].asset_entry.last_materialization if found else None
        if made is None:
            return SkipReason("No suite was made yet.")
        last = found[0].asset_entry.last_run_id
        if last not in (None, made.run_id) and _broke_off(context.instance, str(last)):
            return RunRequest(run_key=f"after/{last}")
        if scenarios.traces_dir.is_dir() and _listed(made) - set(scenarios.get_partition_keys()):
            return RunRequest(run_key=f"without/{made.run_id}")
        return SkipReason("The suite is about the scenarios that are there.")

    return suite_upkeep


def _broke_off(instance: DagsterInstance, run_id: str) -> bool:
    """Return whether the run that was to make the suite has ended without it. Not this job's own: it would go on."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished and run.job_name != SUITE_JOB


def _listed(made: EventLogEntry) -> set[str]:
    """Return the scenarios that have a line in a suite."""
    event = made.asset_materialization
    lines = None if event is None else event.metadata.get(SCENARIOS)
    if not isinstance(lines, TableMetadataValue):
        return set()
    return {str(record.data[SCENARIO]) for record in lines.records}
