"""This module tests that an edited scenario or mode, or changed code, shows as stale, and that nothing else does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance, SensorResult, build_sensor_context
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from assets import code_versions
from assets.code_versions import ROOMS, code_version
from assets.edits import edits_sensor
from assets.partitions import ScenarioPartitions
from cj_pipeline.definitions import build_defs
from tests.dagster_floor.floor import copied_trace, execute

OTHER = "eng5_lower5_148_gpt51_low_20251202"  # its mode is a file beside it


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


class Edits:
    """The sensor, tick by tick; what it reports is stored, as the daemon does."""

    def __init__(self, instance: DagsterInstance, traces: Path) -> None:
        self.sensor = edits_sensor(ScenarioPartitions(traces))
        self.instance, self.traces = instance, traces
        self.cursor: str | None = None

    def __call__(self) -> tuple[set[str], str]:
        """Tick; return the assets that were observed again, and what it says."""
        result = self.sensor(build_sensor_context(instance=self.instance, cursor=self.cursor))
        assert isinstance(result, SensorResult)
        self.cursor = result.cursor
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        skip = result.skip_reason
        return {event.asset_key.to_user_string() for event in result.asset_events}, str(
            getattr(skip, "skip_message", skip)
        )

    def stale(self) -> set[str]:
        """The assets of the scenario whose input or code has changed."""
        graph = build_defs(traces_dir=self.traces).resolve_asset_graph()
        resolver = CachingStaleStatusResolver(self.instance, graph, LoadingContextForTest(self.instance))
        keys = [key for key in graph.materializable_asset_keys if graph.get(key).partitions_def is not None]
        return {key.to_user_string() for key in keys if resolver.get_status(key, OTHER) is StaleStatus.STALE}


@pytest.fixture
def edits(instance: DagsterInstance, tmp_path: Path) -> Edits:
    """A scenario that was materialised, and a sensor that has looked once."""
    copied_trace(OTHER, tmp_path / "traces")
    assert execute(OTHER, tmp_path / "data", traces_dir=tmp_path / "traces", instance=instance).success
    made = Edits(instance, tmp_path / "traces")
    assert made() == (set(), "None of 1 was edited.")
    assert made.stale() == set()
    return made


COMPARED = {"parity/checks", "parity/report"}
READERS = {"recorded/callbacks", "recorded/quarantine", "live/callbacks", "live/metrics", "calibration", *COMPARED}
"""What reads the trace, with the margins in its scenario.yaml. Dagster shows an asset as stale when what it reads has
changed, and not what that reads."""


def test_an_edited_scenario_makes_what_reads_its_trace_stale(edits: Edits) -> None:
    file = edits.traces / OTHER / "scenario.yaml"
    file.write_text(file.read_text() + "# a remark is an edit too\n")
    assert edits() == ({"trace"}, f"Edited: {OTHER}.")
    assert edits.stale() == READERS
    assert edits() == (set(), "None of 1 was edited.")


def test_an_edited_mode_makes_the_live_side_stale_and_not_the_recorded_one(edits: Edits) -> None:
    mode = edits.traces / OTHER / "mode.yaml"
    mode.write_text(mode.read_text().replace("description: ", "description: Another. ", 1))
    assert edits() == ({"mode"}, f"Edited: {OTHER}.")
    assert edits.stale() == {"live/callbacks", "live/metrics"}


def test_a_scenario_that_cannot_be_read_or_never_ran_makes_nothing_stale(edits: Edits) -> None:
    (edits.traces / OTHER / "scenario.yaml").write_text("nonsense\n")
    shutil.copytree(edits.traces / OTHER, edits.traces / "another")
    assert edits() == (set(), "None of 2 was edited.")


def test_the_sensor_runs_by_default_and_launches_nothing() -> None:
    sensor = build_defs().get_repository_def().get_sensor_def("edited_scenarios")
    assert sensor.default_status.value == "RUNNING"
    assert sensor.targets == []


def test_code_of_another_room_makes_nothing_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def versions() -> dict[str, str]:
        code_versions._digest.cache_clear()
        code_version.cache_clear()
        return {name: code_version(name) for name in ROOMS}

    before = versions()
    assert len(set(before.values())) == len(ROOMS)
    shutil.copytree(code_versions.PACKAGE, tmp_path / "cj_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_versions, "PACKAGE", tmp_path / "cj_pipeline")
    assert versions() == before
    (tmp_path / "cj_pipeline/engine/more.py").write_text("X = 1\n")
    after = versions()
    assert {name for name in ROOMS if before[name] != after[name]} == {"answers", "runs", "parity", "agreement"}
    monkeypatch.undo()
    assert versions() == before


def test_every_asset_s_code_is_in_a_room_that_exists() -> None:
    assert {room for rooms in ROOMS.values() for room in rooms if not (code_versions.PACKAGE / room).is_dir()} == set()
    assert AssetKey("trace") in {spec.key for spec in build_defs().resolve_all_asset_specs()}
