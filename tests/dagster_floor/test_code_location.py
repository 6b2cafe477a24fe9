"""This module tests what the code location declares, name by name, and what it does when it is loaded."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from dagster import (
    AssetKey,
    AssetSpec,
    DagsterInstance,
    DefaultScheduleStatus,
    Definitions,
    RunRequest,
    TableSchema,
    build_schedule_context,
)

from assets.alignment import TARGETS
from assets.calibrate import QUESTIONS
from assets.code_versions import DIGITS
from assets.history import NO_CHANGE
from assets.suite import ALL_AS_EXPECTED
from cj_pipeline.definitions import build_defs, defs
from cj_pipeline.parity.compare import ALL_CHECKS
from cj_pipeline.warehouse.schemas import SCHEMAS
from tests.dagster_floor.floor import ALIGN, LADDER, LOWER5, ROUNDTRIP
from tests.house import REPOSITORY

KNOWN = (ROUNDTRIP, ALIGN, LADDER, LOWER5)
SIDE = ("callbacks", "summary", "run", "bt_fit")

# asset: what it reads.
GRAPH = {
    "trace": set(),
    "mode": set(),
    # Read by nothing: what a mode can say of a judge decides no verdict.
    "calibration": {"trace"},
    # Only looked at, and read by nothing: a trace does not go stale because another batch is judged.
    "kafka/callbacks": set(),
    "recorded/callbacks": {"trace"},
    "recorded/quarantine": {"trace"},
    "recorded/summary": {"recorded/callbacks"},
    "recorded/run": {"recorded/callbacks", "recorded/quarantine"},
    "recorded/bt_fit": {"recorded/run"},
    "live/callbacks": {"trace", "mode"},
    "live/metrics": {"trace", "mode"},
    "live/summary": {"live/callbacks"},
    "live/run": {"live/callbacks", "live/metrics"},
    "live/bt_fit": {"live/run"},
    # The trace too: margins are in its scenario.yaml.
    "parity/checks": {"trace", "recorded/run", "live/run"},
    "parity/report": {"trace", "recorded/run", "live/run"},
    "parity/gauntlet": {"trace", "recorded/run", "live/run"},
    # The catalogue's step publishes the run, and the suite is about what is published.
    "parity/suite": {"parity/checks", "warehouse"},
    # Behind the step that publishes a run, which adds it to the history.
    "parity/history": {"warehouse"},
    "eng5/alignment": {"recorded/run", "live/run"},
    # Of no scenario: it reads what its cells wrote.
    "eng5/experiment": set(),
    "warehouse": {
        "recorded/summary",
        "recorded/bt_fit",
        "live/summary",
        "live/bt_fit",
        "parity/checks",
        "parity/gauntlet",
        "eng5/alignment",
    },
}


def specs() -> dict[str, AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_it_loads() -> None:
    Definitions.validate_loadable(build_defs())


def test_the_graph_is_exactly_this() -> None:
    found = {
        name: {dependency.asset_key.to_user_string() for dependency in spec.deps} for name, spec in specs().items()
    }
    assert found == GRAPH


def test_the_sides_have_the_same_assets_apart_from_what_comes_with_their_callbacks() -> None:
    sides = {side: {name.split("/")[1] for name in GRAPH if name.startswith(side)} for side in ("recorded", "live")}
    assert sides["recorded"] - {"quarantine"} == sides["live"] - {"metrics"} == set(SIDE)


def test_nothing_hangs_on_the_report_that_a_red_check_would_skip() -> None:
    assert [name for name, reads in GRAPH.items() if "parity/report" in reads] == []


MATERIALISED = set(GRAPH) - {"kafka/callbacks", "eng5/experiment"}
# The first gauntlet of a scenario takes ten seconds or more; a night goes without it.
ONLY_SHOWN = {
    AssetKey("calibration"),
    AssetKey(["eng5", "alignment"]),
    AssetKey(["parity", "history"]),
    AssetKey(["parity", "suite"]),
}
BY_NIGHT = MATERIALISED - {"parity/gauntlet"}


def test_all_but_topic_suite_and_catalogue_have_the_scenarios_as_partitions() -> None:
    unpartitioned = {name for name, spec in specs().items() if spec.partitions_def is None}
    assert unpartitioned == {"parity/suite", "warehouse", "kafka/callbacks", "eng5/experiment"}
    (scenarios,) = {spec.partitions_def for spec in specs().values() if spec.partitions_def is not None}
    assert scenarios is not None
    # `traces/` may hold a user's own scenarios too.
    assert [key for key in scenarios.get_partition_keys() if key in KNOWN] == list(KNOWN)


# Of the rest: the first part of its name. Four boxes on the lineage page.
GROUP = {
    "trace": "recorded",
    "calibration": "recorded",
    "kafka/callbacks": "recorded",
    "mode": "live",
    "warehouse": "parity",
}


def test_there_are_four_groups() -> None:
    assert {spec.group_name for spec in specs().values()} == {"recorded", "live", "parity", "eng5"}


@pytest.mark.parametrize("name", GRAPH)
def test_every_asset_says_whose_it_is_and_what(name: str) -> None:
    spec = specs()[name]
    assert list(spec.owners) == ["team:assessment-platform"]
    assert spec.group_name == GROUP.get(name, name.split("/")[0])
    assert spec.tags["scope"] == ("all" if spec.partitions_def is None else "scenario")
    assert spec.kinds
    assert len(spec.code_version or "") == DIGITS
    assert len(spec.description or "") > 20


def test_every_dataset_that_an_asset_is_shows_its_columns() -> None:
    tables = {
        spec.metadata["dagster/table_name"]: spec for spec in specs().values() if "dagster/table_name" in spec.metadata
    }
    # `decisions` is written with `runs`, `judges` with `callbacks`, the others with `parity_checks`.
    assert set(tables) == set(SCHEMAS) - {"decisions", "judges", "parity_reports", "detection_limits"}
    for dataset, spec in tables.items():
        schema = spec.metadata["dagster/column_schema"]
        assert isinstance(schema, TableSchema)
        assert [column.name for column in schema.columns] == SCHEMAS[dataset].names
        assert all(column.description for column in schema.columns)
    theta = next(c for c in tables["bt_fit"].metadata["dagster/column_schema"].columns if c.name == "standard_error")
    assert (theta.type, theta.constraints.nullable) == ("double", True)


def test_the_checks_are_parity_s_own_three_on_the_recording_those_of_the_held_out_fit_and_targets() -> None:
    keys = defs.resolve_asset_graph().asset_check_keys
    found = {(key.asset_key.to_user_string(), key.name) for key in keys}
    assert found == {
        ("trace", "checksums"),
        ("trace", "complete"),
        ("recorded/callbacks", "quarantine"),
        ("parity/report", "verdict"),
        ("parity/history", NO_CHANGE),
        ("parity/suite", ALL_AS_EXPECTED),
        *(("calibration", name) for name in QUESTIONS),
        *(("eng5/alignment", f"{side}_{name}") for side in ("recorded", "live") for name in TARGETS),
        *(("parity/report", check.name) for check in ALL_CHECKS),
    }
    # 39 at the time of writing; a suite that lost half its checks would still equal itself.
    assert len(found) >= 38


def test_every_check_is_partitioned_and_described_and_gates_are_those_of_the_recording_and_of_parity() -> None:
    # Dagster: only blocking checks change the exit code, only partitioned ones are kept per scenario. One is over all.
    # The quarantine's gate is parity's recorded_lines; what is in a partial trace is true all the same.
    # Neither the held-out fit nor the agreement with teachers says anything about whether the mock is faithful.
    graph = defs.resolve_asset_graph()
    for key in graph.asset_check_keys:
        node = graph.get(key)
        only_told = key.name in {"quarantine", "complete"} or key.asset_key in ONLY_SHOWN
        assert node.blocking is not only_told, key
        over_all = key.asset_key == AssetKey(["parity", "suite"])
        assert node.partitions_def == (None if over_all else graph.get(AssetKey("trace")).partitions_def), key
        assert node.description, key


def test_there_is_a_job_for_everything_and_one_for_each_profile() -> None:
    jobs = {job.name: job for job in defs.resolve_all_job_defs() if not job.name.startswith("__")}
    parity = {"parity_all", "parity_judge", "parity_generic", "parity_eng5_anchor", "parity_eng5_lower5"}
    eng5 = {"eng5_plan", "eng5_dry_run", "eng5_execute", "eng5_anchor_align_test", "eng5_boundary_test"}
    others = {"parity_gauntlet", "parity_gate", "suite_refresh", "capture_callbacks", "observe_kafka", "record_judge"}
    others |= {"retention"}
    experiments = {"eng5_experiment_plan", "eng5_experiment_cells"}
    assert set(jobs) == parity | eng5 | experiments | others
    everything = {AssetKey(name.split("/")) for name in MATERIALISED}
    assert set(jobs["parity_gauntlet"].asset_layer.selected_asset_keys) == everything
    for job in (jobs[name] for name in parity):
        assert set(job.asset_layer.selected_asset_keys) == everything - {AssetKey(["parity", "gauntlet"])}
        assert (
            len(job.asset_layer.asset_graph.asset_check_keys) == len(ALL_CHECKS) + len(QUESTIONS) + 2 * len(TARGETS) + 6
        )


def test_no_parity_job_has_to_do_with_kafka() -> None:
    named = [job for job in defs.resolve_all_job_defs() if not job.name.startswith("__")]
    needing = {job.name for job in named if "kafka" in job.required_resource_keys}
    assert needing == {"capture_callbacks", "observe_kafka"}


def test_every_night_at_three_each_scenario_is_launched_once() -> None:
    schedule = defs.resolve_schedule_def("parity_nightly")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 3 * * *", "UTC")
    assert schedule.default_status is DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "parity_all"
    with DagsterInstance.ephemeral() as instance:
        tick = build_schedule_context(
            instance,
            repository_def=defs.get_repository_def(),
            scheduled_execution_time=datetime(2025, 12, 6, 3, tzinfo=UTC),
        )
        requests = schedule.evaluate_tick(tick).run_requests
    assert requests is not None
    assert all(isinstance(request, RunRequest) for request in requests)
    launched = [(request.run_key, request.partition_key) for request in requests if request.partition_key in KNOWN]
    assert launched == [(f"2025-12-06/{scenario_id}", scenario_id) for scenario_id in KNOWN]
    # Else each night would draw the same answers, and tell nothing that the first did not.
    assert all(request.run_config["resources"]["lps"]["config"] == {"night": "2025-12-06"} for request in requests)


def test_a_resource_can_be_replaced() -> None:
    given = object()
    assert (build_defs(resource_overrides={"lps": given}).resources or {})["lps"] is given


def test_a_folder_without_scenarios_still_loads(tmp_path: Path) -> None:
    Definitions.validate_loadable(build_defs(traces_dir=tmp_path / "nothing"))


def test_the_workspace_names_the_code_location_and_its_folder() -> None:
    (entry,) = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())["load_from"]
    assert entry["python_module"] == {
        "module_name": "cj_pipeline.definitions",
        "working_directory": ".",
        "location_name": "cj_pipeline",
    }


LOADING = """
import sys
import cj_pipeline.mock.mode.files, scipy.stats, duckdb, pyarrow.parquet, dagster, httpx  # not ours to account for

touched = []
def note(event, arguments):
    if event in ("socket.connect", "subprocess.Popen", "os.listdir", "os.scandir", "os.mkdir"):
        touched.append((event, str(arguments[0])))
    if event == "open" and isinstance(arguments[0], str) and not arguments[0].endswith((".py", ".pyc")):
        touched.append((event, arguments[0]))

sys.addaudithook(note)
import cj_pipeline.definitions
repository = sys.argv[1]
for event, place in touched:
    inside = place.startswith(repository) and "/.venv/" not in place and "__pycache__" not in place
    if inside or event in ("socket.connect", "subprocess.Popen", "os.mkdir"):
        print(event, place.removeprefix(repository))
print("matplotlib" in sys.modules, "pandas" in sys.modules)
"""


def test_loading_reads_and_asks_nothing() -> None:
    command = [sys.executable, "-c", LOADING, f"{REPOSITORY}/"]
    lines = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    # The import system lists the folders of packages; what counts is anything below `traces`, or any file.
    seen = {line for line in lines[:-1] if line.split(" ", 1)[1].startswith("traces") or not line.startswith("os.")}
    assert seen == set()
    assert lines[-1] == "False False"
