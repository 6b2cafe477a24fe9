"""This module tests that a gate can be run alone, against what is published and under the margins of now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    DagsterEventType,
    DagsterInstance,
    ExecuteInProcessResult,
    validate_run_config,
)

from assets.gate import GATE_JOB
from assets.specs import REPORT
from cj_pipeline.definitions import build_defs
from resources.warehouse import WarehouseResource
from tests.dagster_floor.floor import LOWER5, copied_trace, execute

GATE = "latency_mean"
CHECKED = DagsterEventType.ASSET_CHECK_EVALUATION


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def run_gate(name: str, folder: Path, instance: DagsterInstance) -> ExecuteInProcessResult:
    overrides = {"warehouse": WarehouseResource(root=str(folder / "data"))}
    job = build_defs(resource_overrides=overrides, traces_dir=folder / "traces").resolve_job_def(GATE_JOB)
    config = {"ops": {"gate": {"config": {"gate": name}}}}
    return job.execute_in_process(config, partition_key=LOWER5, instance=instance, raise_on_error=False)


def evaluations(instance: DagsterInstance) -> list[AssetCheckEvaluation]:
    """What the UI shows of the gate, newest first."""
    records = instance.event_log_storage.get_asset_check_execution_history(AssetCheckKey(REPORT, GATE), limit=9)
    found = [record.event.dagster_event for record in records if record.event]
    return [event.asset_check_evaluation_data for event in found if event and event.event_type is CHECKED]


def test_without_a_published_run_it_says_what_to_do(tmp_path: Path, instance: DagsterInstance) -> None:
    copied_trace(LOWER5, tmp_path / "traces")
    result = run_gate(GATE, tmp_path, instance)
    (failure,) = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    assert failure is not None
    assert f"no run of '{LOWER5}' is published. Materialise the scenario first." in failure.message


def test_one_gate_is_run_again_under_an_edited_margin(tmp_path: Path, instance: DagsterInstance) -> None:
    folder = copied_trace(LOWER5, tmp_path / "traces")
    assert execute(LOWER5, tmp_path / "data", traces_dir=tmp_path / "traces", instance=instance).success
    assert run_gate(GATE, tmp_path, instance).success
    again, first = evaluations(instance)
    assert (again.passed, again.partition, again.description) == (first.passed, LOWER5, first.description)
    assert first.description is not None
    assert first.description.startswith(f"{LOWER5}: ")

    file = folder / "scenario.yaml"
    edited = yaml.safe_load(file.read_text())
    edited["tolerances"] = {
        **edited.get("tolerances", {}),
        GATE: {"above_ms": 9_000.0, "reason": "the mean of this test may be anything"},
    }
    file.write_text(yaml.safe_dump(edited))
    assert run_gate(GATE, tmp_path, instance).success
    wider = evaluations(instance)[0].metadata
    assert wider["ceiling"].value > first.metadata["ceiling"].value  # type: ignore[operator]


def test_the_gates_step_can_be_run_without_the_comparison_before_it(tmp_path: Path, instance: DagsterInstance) -> None:
    copied_trace(LOWER5, tmp_path / "traces")
    assert execute(LOWER5, tmp_path / "data", traces_dir=tmp_path / "traces", instance=instance).success
    overrides = {"warehouse": WarehouseResource(root=str(tmp_path / "data"))}
    defs = build_defs(resource_overrides=overrides, traces_dir=tmp_path / "traces")
    alone = defs.resolve_job_def("parity_all").get_subset(
        asset_selection=set(), asset_check_selection={AssetCheckKey(REPORT, GATE)}
    )
    result = alone.execute_in_process(partition_key=LOWER5, instance=instance)
    assert [check.check_name for check in result.get_asset_check_evaluations()] == [GATE]


def test_the_launchpad_takes_gates_only() -> None:
    job = build_defs().resolve_job_def(GATE_JOB)
    validate_run_config(job, {})  # an example is the default
    with pytest.raises(Exception, match="not in enum type"):
        validate_run_config(job, {"ops": {"gate": {"config": {"gate": "latency"}}}})
