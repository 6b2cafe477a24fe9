"""This module tests that a new trace folder becomes a partition and is run, once, without a reload."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dagster import DagsterInstance, DefaultSensorStatus, Definitions, build_sensor_context
from dagster._core.definitions.sensor_definition import SensorExecutionData

from assets import sensors
from assets.partitions import SCENARIOS, ScenarioPartitions
from assets.sensors import MOST_IN_A_TICK
from cj_pipeline.definitions import build_defs
from cj_pipeline.traces.arrivals import recorded_sha256
from tests.dagster_floor.floor import ALIGN, LADDER, LOWER5, ROUNDTRIP, copied_trace, execute
from tests.dagster_floor.folders import recording, shorten


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    folder = tmp_path / "traces"
    folder.mkdir()
    return folder


class Ticks:
    """The daemon's part: evaluates, applies what was asked of the partitions, keeps the cursor."""

    def __init__(self, traces: Path, instance: DagsterInstance) -> None:
        # Made once: a code location that is loaded before the folder has what the test puts there.
        self.defs: Definitions = build_defs(traces_dir=traces)
        self.instance = instance
        self.cursor: str | None = None

    def tick(self) -> SensorExecutionData:
        context = build_sensor_context(self.instance, cursor=self.cursor, repository_def=self.defs.get_repository_def())
        told = self.defs.resolve_sensor_def("new_traces").evaluate_tick(context)
        for request in told.dynamic_partitions_requests or ():
            if "Add" in type(request).__name__:
                self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
            else:
                for key in request.partition_keys:
                    self.instance.delete_dynamic_partition(request.partitions_def_name, key)
        self.cursor = told.cursor
        return told

    def asked(self) -> list[tuple[str | None, str | None]]:
        """(run key, partition) of what one tick requests."""
        return [(request.run_key, request.partition_key) for request in self.tick().run_requests or ()]

    def listed(self) -> set[str]:
        """What webserver and daemon take for the partitions."""
        return set(self.instance.get_dynamic_partitions(SCENARIOS))


def test_it_runs_by_default_every_half_minute() -> None:
    sensor = build_defs().resolve_sensor_def("new_traces")
    assert sensor.default_status is DefaultSensorStatus.RUNNING
    assert (sensor.minimum_interval_seconds, sensor.job_name) == (30, "parity_all")


def test_the_first_look_lists_every_scenario_and_starts_no_run(traces: Path) -> None:
    for scenario_id in (ROUNDTRIP, ALIGN, LADDER, LOWER5):
        copied_trace(scenario_id, traces)
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(traces, instance)
        told = ticks.tick()
        assert told.run_requests == []
        assert told.skip_message == "First look: noted 4 scenarios, which the nightly schedule runs."
        assert ticks.listed() == {ROUNDTRIP, ALIGN, LADDER, LOWER5}
        assert ticks.tick().skip_message == "Nothing new among 4 scenarios."


def test_a_new_recording_is_listed_and_run_once_although_nothing_was_reloaded(traces: Path) -> None:
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(traces, instance)
        assert ticks.asked() == []
        folder = recording(traces, "captured_one")
        assert ticks.asked() == [(f"captured_one/{recorded_sha256(folder)}", "captured_one")]
        assert ticks.listed() == {"captured_one"}
        assert ticks.asked() == []


def test_the_run_that_it_asks_for_succeeds(traces: Path, tmp_path: Path) -> None:
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(traces, instance)
        ticks.tick()
        recording(traces, "captured_one")
        ((_, partition),) = ticks.asked()
        assert partition is not None
        assert execute(partition, tmp_path / "data", traces_dir=traces, instance=instance).success


def test_a_recording_that_replaces_another_is_run_again(traces: Path) -> None:
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(traces, instance)
        folder = recording(traces, "captured_one")
        ticks.tick()
        before = recorded_sha256(folder)
        shorten(folder)
        ((run_key, _),) = ticks.asked()
        assert run_key == f"captured_one/{recorded_sha256(folder)}"
        assert run_key != f"captured_one/{before}"


def test_what_people_edit_is_not_a_new_recording(traces: Path) -> None:
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(traces, instance)
        folder = recording(traces, "captured_one")
        ticks.tick()
        with (folder / "scenario.yaml").open("a", encoding="utf-8") as file:
            file.write("# looked at\n")
        assert ticks.asked() == []


def test_a_folder_that_is_gone_is_listed_no_longer(traces: Path) -> None:
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(traces, instance)
        recording(traces, "captured_one")
        recording(traces, "captured_two")
        ticks.tick()
        shutil.rmtree(traces / "captured_one")
        ticks.tick()
        assert ticks.listed() == {"captured_two"}


def test_traces_that_were_out_of_reach_for_a_while_are_not_run_anew(traces: Path, tmp_path: Path) -> None:
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(traces, instance)
        recording(traces, "captured_one")
        ticks.tick()
        # Not mounted: the folder is empty, or not there at all.
        away = traces.rename(tmp_path / "away")
        assert ticks.tick().skip_message == "There is no folder of traces; nothing is taken for gone."
        assert ticks.listed() == {"captured_one"}
        traces.mkdir()
        assert ticks.asked() == []
        assert ticks.listed() == set()
        traces.rmdir()
        away.rename(traces)
        assert ticks.asked() == []
        assert ticks.listed() == {"captured_one"}


def test_a_draft_beside_it_is_no_scenario(traces: Path) -> None:
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(traces, instance)
        recording(traces, ".captured_one.capture")
        assert ticks.tick().skip_message == "First look: noted 0 scenarios, which the nightly schedule runs."


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("scenario.yaml", b"net: {items: [Anna Andersson]}\n", "scenario.yaml"),
        ("provenance.json", b'{"Anna": "Andersson"}', "provenance.json"),
        ("SHA256SUMS", b"Anna Andersson\n", "SHA256SUMS"),
        ("SHA256SUMS", b"\xff\xfe", "SHA256SUMS"),
    ],
)
def test_a_broken_folder_is_named_without_its_content_and_the_others_go_on(
    name: str, content: bytes, place: str, traces: Path
) -> None:
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(traces, instance)
        ticks.tick()
        (recording(traces, "a_broken_one") / name).write_bytes(content)
        message = ticks.tick().skip_message or ""
        assert message.startswith(f"a_broken_one cannot be used ({place}")
        assert "Anna" not in message
        recording(traces, "captured_one")
        assert [partition for _, partition in ticks.asked()] == ["captured_one"]
        # Mended, it is as new as any other.
        shutil.rmtree(traces / "a_broken_one")
        recording(traces, "a_broken_one")
        assert [partition for _, partition in ticks.asked()] == ["a_broken_one"]


def test_a_folder_full_of_traces_does_not_flood_the_queue(traces: Path) -> None:
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(traces, instance)
        ticks.tick()
        names = [f"captured_{number:02}" for number in range(MOST_IN_A_TICK + 3)]
        for name in names:
            recording(traces, name)
        first = [partition for _, partition in ticks.asked()]
        assert len(first) == 20
        assert first + [partition for _, partition in ticks.asked()] == names


def test_a_recording_that_fills_a_machine_is_listed_and_not_run_unasked(
    traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "MOST_BYTES", 1000)
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(traces, instance)
        ticks.tick()
        recording(traces, "captured_one")  # 10 callbacks of 1.2 KB
        told = ticks.tick()
        assert told.run_requests == []
        assert told.skip_message == "captured_one has 0 MB of callbacks, too many to be run unasked."
        assert ticks.listed() == {"captured_one"}
        assert ticks.tick().skip_message == "Nothing new among 1 scenarios."


def test_whoever_has_the_code_needs_no_instance_to_know_the_partitions(traces: Path) -> None:
    partitions = ScenarioPartitions(traces)
    assert list(partitions.get_partition_keys()) == []
    recording(traces, "captured_one")
    assert partitions.has_partition_key("captured_one")
    assert partitions.filter_valid_partition_keys({"captured_one", "captured_two"}) == {"captured_one"}
    assert partitions.subset_with_all_partitions().get_partition_keys() == {"captured_one"}


def test_an_instance_that_lists_the_same_keys_gives_the_set_the_same_name(traces: Path) -> None:
    # Webserver and daemon keep what is materialised under this name; a run with the code must not give it another.
    recording(traces, "captured_one")
    recording(traces, "captured_two")
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(SCENARIOS, ["captured_one", "captured_two"])
        listed = instance.get_dynamic_partitions_definition_id(SCENARIOS)
    assert ScenarioPartitions(traces).get_serializable_unique_identifier() == listed
