"""Whatever a file of the data folder holds, a command names it and says what to do, or does without it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from assets.outcome import Events, outcome_of
from cj_pipeline.alerts.night import State
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.parity.history.history import load_history
from cj_pipeline.warehouse.store import Warehouse
from tests.cli.terminal import Terminal
from tests.warehouse.rows import metric, published, row

COUNT = "select count(*) as n from service_metrics where scenario_id = 'lower5'"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a published run of each of two scenarios."""
    warehouse = Warehouse(tmp_path_factory.mktemp("whole") / "data")
    for scenario_id in ("anchors", "lower5"):
        rows = {"service_metrics": [metric(scenario_id)], "bt_fit": [row("bt_fit", scenario_id=scenario_id)]}
        published(warehouse.run(f"run_of_{scenario_id}", scenario_id), rows)
    warehouse.rebuild_catalogue()
    return warehouse.root


@pytest.fixture
def data(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cj_pipeline: Terminal) -> Path:
    """A copy of it that a test may damage, with a catalogue of its own."""
    copy = tmp_path / "data"
    shutil.copytree(whole, copy)
    Warehouse(copy).rebuild_catalogue()
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(copy))
    return copy


# A smaller example says no more than the file and the place do.
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)


def files_of_anchors(data: Path) -> list[Path]:
    files = [path for path in data.rglob("*") if path.is_file() and "anchors" in str(path.relative_to(data))]
    return sorted(files)


@settings(
    max_examples=40, deadline=None, phases=NO_SHRINKING, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(draw=st.data())
def test_a_file_that_is_cut_or_flipped_anywhere_costs_its_own_scenario_alone(data: Path, draw: st.DataObject) -> None:
    path = draw.draw(st.sampled_from(files_of_anchors(data)))
    content = path.read_bytes()
    place = draw.draw(st.integers(0, len(content) - 1))
    if draw.draw(st.booleans()):
        damaged = content[:place]
    else:
        bit = 1 << draw.draw(st.integers(0, 7))
        damaged = content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
    path.write_bytes(damaged)
    warehouse = Warehouse(data)
    try:
        for look in (lambda: warehouse.sound(), lambda: load_history(data, "anchors"), lambda: warehouse.published()):
            with suppress(CjPipelineError):  # another class of error fails the test
                look()
        named = [problem for problem in warehouse.damage() if str(path) in problem]
        # A cut is always seen. A bit may be in a gap, or in what says nothing.
        assert named or len(damaged) == len(content) or path.suffix == ".json"
        warehouse.rebuild_catalogue()
        assert warehouse.query(COUNT).to_pylist() == [{"n": 1}]
    finally:
        path.write_bytes(content)


Damage = Callable[[Path], object]


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


KINDS: dict[str, Damage] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello\n"),
    "null": lambda path: path.write_text("null"),
    "folder": as_folder,
    "link to nothing": as_link_to_nothing,
    "gone": lambda path: path.unlink(),
}
COMMANDS: list[tuple[str, ...]] = [
    ("sql",),
    ("sql", "from service_metrics"),
    ("history",),
    ("warehouse", "prune"),
    ("doctor",),
]
DAMAGED = ["warehouse.duckdb", "published/anchors.json", "runs/run_of_anchors/anchors/service_metrics/live.parquet"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", DAMAGED)
def test_no_command_shows_a_traceback_and_a_2_names_a_path_in_the_folder(
    cj_pipeline: Terminal, data: Path, name: str, kind: str
) -> None:
    KINDS[kind](data / name)
    for command in COMMANDS:
        answer = cj_pipeline(*command)
        assert answer.code in {0, 2}, answer.err
        assert "Traceback" not in answer.err
        assert "internal error" not in answer.err
        if command[0] != "doctor":
            assert answer.code == 0 or str(data) in answer.err, answer.err


def as_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("hello")


def as_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


PART_REMEDY = "Materialise the whole scenario."
POINTER_REMEDY = "Move it away, and materialise the scenario again."


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("runs/run_of_anchors", as_file, PART_REMEDY),
        ("runs/run_of_anchors/anchors", as_file, PART_REMEDY),
        ("runs/run_of_anchors/anchors/bt_fit", as_file, PART_REMEDY),
        ("runs/run_of_anchors/anchors/bt_fit/live.parquet", as_link_to_itself, PART_REMEDY),
        ("published/anchors.json", as_folder, POINTER_REMEDY),
        ("published/anchors.json", as_link_to_itself, POINTER_REMEDY),
        ("published/anchors.json", as_link_to_nothing, POINTER_REMEDY),
    ],
)
def test_what_is_no_file_or_no_folder_costs_its_own_scenario_alone(
    cj_pipeline: Terminal, data: Path, name: str, kind: Damage, remedy: str
) -> None:
    kind(data / name)
    warehouse = Warehouse(data)
    warehouse.rebuild_catalogue()
    assert warehouse.query(COUNT).to_pylist() == [{"n": 1}]
    (left,), (problem,) = warehouse.sound()
    assert left.scenario_id == "lower5"
    assert problem.startswith(str(data / name))
    assert problem.endswith(remedy)
    assert warehouse.query("from catalogue.left_out").to_pylist() == [{"problem": problem}]
    assert problem in warehouse.damage()
    assert cj_pipeline("sql", COUNT).code == 0


def test_a_file_of_another_table_is_named_with_the_column_that_it_lacks(data: Path) -> None:
    run = Warehouse(data).run("run_of_anchors", "anchors")
    shutil.copy(run.path("bt_fit", "live"), run.path("service_metrics", "live"))
    with pytest.raises(CjPipelineError, match=r"service_metrics/live\.parquet: .*has not the columns"):
        run.read("service_metrics", "live")


def test_a_pointer_to_a_run_that_is_gone_is_named_and_the_other_scenario_stays(data: Path) -> None:
    shutil.rmtree(data / "runs/run_of_anchors")
    warehouse = Warehouse(data)
    (left,), (problem,) = warehouse.sound()
    assert (left.scenario_id, "run run_of_anchors made no " in problem) == ("lower5", True)
    warehouse.rebuild_catalogue()
    assert warehouse.query(COUNT).to_pylist() == [{"n": 1}]


def test_foreign_files_in_the_folders_of_runs_are_passed_over(cj_pipeline: Terminal, data: Path) -> None:
    (data / "runs/.DS_Store").write_bytes(b"\0")
    (data / "runs/notes.txt").write_text("mine")
    (data / "runs/run_of_anchors/anchors/bt_fit/copy.parquet").write_bytes(b"mine")
    (data / "history/anchors/.hidden").write_text("mine")
    (data / "published/.anchors.json.swp").write_text("mine")
    assert Warehouse(data).damage() == []
    for command in COMMANDS:
        assert cj_pipeline(*command).code == 0 or command[0] == "doctor"


def test_a_damaged_report_is_told_of_its_scenario_and_keeps_no_message_back(data: Path) -> None:
    run = Warehouse(data).run("run_of_anchors", "anchors")
    run.path("parity_checks", "parity").write_bytes(b"PAR1")
    told = outcome_of(run, Events((), {}, frozenset()), succeeded=True)
    assert told.state is State.BROKE_OFF
    (sentence,) = told.sentences
    assert "parity_checks/parity.parquet" in sentence
