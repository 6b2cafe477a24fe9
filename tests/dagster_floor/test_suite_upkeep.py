"""This module tests that the suite is about what is there, and red only where a scenario is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import (
    AssetCheckSeverity,
    DagsterInstance,
    RunRequest,
    SkipReason,
    TableMetadataValue,
    build_sensor_context,
)

from assets.partitions import ScenarioPartitions
from assets.specs import SUITE
from assets.suite import ALL_AS_EXPECTED, rolled_up
from assets.suite_upkeep import SUITE_JOB, suite_sensor
from cj_pipeline.definitions import build_defs
from cj_pipeline.parity.tables import StoredVerdict
from cj_pipeline.parity.verdict import Parity
from resources.warehouse import WarehouseResource
from tests.dagster_floor.floor import ROUNDTRIP, copied_trace, execute


def verdict(name: str, found: Parity, expected: Parity = Parity.PARITY) -> StoredVerdict:
    return StoredVerdict(name, "run", found, expected, (), 40, 5, 0, ("counts",) if found is Parity.NO_PARITY else ())


def test_the_check_over_all_scenarios_names_those_that_are_not_as_expected() -> None:
    fine, red = verdict("a", Parity.PARITY), verdict("b", Parity.NO_PARITY)
    found = rolled_up([fine, red])
    assert (found.passed, found.severity) == (False, AssetCheckSeverity.ERROR)
    assert found.description == "b: NO PARITY."
    assert rolled_up([fine, verdict("c", Parity.NO_PARITY, Parity.NO_PARITY)]).passed
    damaged = rolled_up([fine], ["published/b.json: is no pointer to a run."])
    assert (damaged.passed, damaged.severity) == (False, AssetCheckSeverity.ERROR)
    assert damaged.description == "published/b.json: is no pointer to a run."
    doubtful = rolled_up([fine, verdict("d", Parity.CANNOT_TELL)])
    assert (doubtful.passed, doubtful.severity) == (False, AssetCheckSeverity.WARN)


def test_it_blocks_nothing() -> None:
    graph = build_defs().resolve_asset_graph()
    (key,) = [key for key in graph.asset_check_keys if key.asset_key == SUITE]
    assert (key.name, graph.get(key).blocking, graph.get(key).partitions_def) == (ALL_AS_EXPECTED, False, None)


class Upkeep:
    """The sensor over one folder of traces, and the runs that it requests."""

    def __init__(self, instance: DagsterInstance, folder: Path) -> None:
        self.instance, self.data, self.traces = instance, folder / "data", folder / "traces"
        self.sensor = suite_sensor(ScenarioPartitions(self.traces))

    def __call__(self) -> RunRequest | str:
        answer = self.sensor(build_sensor_context(instance=self.instance))
        assert isinstance(answer, RunRequest | SkipReason)
        return answer if isinstance(answer, RunRequest) else str(answer.skip_message)

    def run(self, name: str) -> str:
        result = execute(name, self.data, traces_dir=self.traces, instance=self.instance)
        return result.run_id

    def make(self) -> None:
        """What the daemon does with a request."""
        overrides = {"warehouse": WarehouseResource(root=str(self.data))}
        defs = build_defs(resource_overrides=overrides, traces_dir=self.traces)
        assert defs.resolve_job_def(SUITE_JOB).execute_in_process(instance=self.instance).success

    def red(self) -> bool:
        """Whether the UI shows the suite as failed: the last run that was to make it did not."""
        entry = self.instance.get_asset_records([SUITE])[0].asset_entry
        assert entry.last_materialization is not None
        return entry.last_run_id != entry.last_materialization.run_id

    def lines(self) -> list[object]:
        event = self.instance.get_latest_materialization_event(SUITE)
        assert event is not None
        assert event.asset_materialization is not None
        table = event.asset_materialization.metadata["scenarios"]
        assert isinstance(table, TableMetadataValue)
        return [record.data["scenario"] for record in table.records]


@pytest.fixture
def upkeep(tmp_path: Path) -> Iterator[Upkeep]:
    copied_trace(ROUNDTRIP, tmp_path / "traces")
    with DagsterInstance.ephemeral() as instance:
        yield Upkeep(instance, tmp_path)


FRESH = "The suite is about the scenarios that are there."


def test_a_run_of_a_partition_without_a_folder_says_so_and_leaves_no_red_suite(upkeep: Upkeep) -> None:
    assert upkeep() == "No suite was made yet."
    upkeep.run(ROUNDTRIP)
    assert upkeep() == FRESH
    ghost = build_defs(
        resource_overrides={"warehouse": WarehouseResource(root=str(upkeep.data))}, traces_dir=upkeep.traces
    )
    # As the webserver launches it: the run is created, with its plan, before any of our code sees the partition.
    job = ghost.resolve_job_def("parity_all")
    result = job.execute_in_process(instance=upkeep.instance, tags={"dagster/partition": "ghost"}, raise_on_error=False)
    assert not result.success
    (error, *_) = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    assert error is not None
    assert error.cause is not None
    assert "no scenario 'ghost'. Known: " in error.cause.message
    assert upkeep.red()
    request = upkeep()
    assert isinstance(request, RunRequest)
    assert request.run_key == f"after/{result.run_id}"
    upkeep.make()
    assert not upkeep.red()
    assert (upkeep(), upkeep.lines()) == (FRESH, [ROUNDTRIP])


def test_the_line_of_a_scenario_that_is_gone_goes(upkeep: Upkeep) -> None:
    made = upkeep.run(ROUNDTRIP)
    shutil.rmtree(upkeep.traces / ROUNDTRIP)
    request = upkeep()
    assert isinstance(request, RunRequest)
    assert request.run_key == f"without/{made}"
    upkeep.make()
    assert (upkeep(), upkeep.lines()) == (FRESH, [])
