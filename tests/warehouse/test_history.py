"""Every published run leaves one file in the history, which nothing removes and no killed writer damages."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse import publishing
from cj_pipeline.warehouse.history import history_folder, read_history
from cj_pipeline.warehouse.prune import prune
from cj_pipeline.warehouse.publishing import NotPublished, publish
from cj_pipeline.warehouse.store import Warehouse
from tests.warehouse.rows import made, published, row, scenario_folder

CHECKS = {"parity_checks": [row("parity_checks", check=name) for name in ("counts", "position_effect")]}


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "data")


def test_each_published_run_is_a_row_a_check_and_oldest_first(warehouse: Warehouse) -> None:
    for run_id in ("b", "a"):
        published(warehouse.run(run_id, "anchors"), CHECKS)
    rows = read_history(warehouse.root, "anchors")
    assert [(one["run_id"], one["check"]) for one in rows] == [
        (run, check) for run in "ba" for check in ("counts", "position_effect")
    ]
    assert {(one["mode"], one["mode_sha"], one["seed"], one["answers_sha"]) for one in rows} == {
        ("judge of a1", "0f", 42, "a1")
    }
    assert all(one["code_sha"] and one["recording_sha"] for one in rows)


def test_a_trial_leaves_none(warehouse: Warehouse) -> None:
    with pytest.raises(NotPublished):
        publish(made(warehouse.run("r1", "anchors"), CHECKS, trial=True), scenario_folder(warehouse.root, "anchors"))
    assert read_history(warehouse.root, "anchors") == []


def die(*_: object) -> None:
    raise SystemExit


@pytest.mark.parametrize(("at", "lines"), [("prepare_history", 0), ("write_pointer", 0), ("enter_history", 2)])
def test_a_killed_publisher_leaves_a_run_in_the_history_exactly_when_it_published_it(
    at: str, lines: int, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = made(warehouse.run("r1", "anchors"), CHECKS), scenario_folder(warehouse.root, "anchors")
    with monkeypatch.context() as patch:
        patch.setattr(publishing, at, die)
        with pytest.raises(SystemExit):
            publish(run, folder)
    assert len(read_history(warehouse.root, "anchors")) == lines
    assert (warehouse.published(["anchors"]) != ()) is (lines > 0)
    warehouse.rebuild_catalogue(["anchors"])
    assert warehouse.query("select count(*) as n from history").to_pylist() == [{"n": lines}]
    published(warehouse.run("r2", "anchors"), CHECKS)
    assert [row["run_id"] for row in read_history(warehouse.root, "anchors")] == ["r1"] * lines + ["r2"] * 2


def test_a_run_that_was_published_for_a_moment_is_in_the_history(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = made(warehouse.run("r1", "anchors"), CHECKS), scenario_folder(warehouse.root, "anchors")
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "enter_history", die)
        with pytest.raises(SystemExit):
            publish(run, folder)
    published(warehouse.run("r2", "anchors"), CHECKS)  # its publisher completes the other's
    assert {row["run_id"] for row in read_history(warehouse.root, "anchors")} == {"r1", "r2"}


def test_publishing_again_gives_the_same_file(warehouse: Warehouse) -> None:
    run, folder = made(warehouse.run("r1", "anchors"), CHECKS), scenario_folder(warehouse.root, "anchors")
    publish(run, folder)
    (file,) = history_folder(warehouse.root, "anchors").iterdir()
    before = file.read_bytes()
    publish(run, folder)
    assert [one.read_bytes() for one in history_folder(warehouse.root, "anchors").iterdir()] == [before]


def test_prune_removes_what_a_killed_publisher_prepared(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = scenario_folder(warehouse.root, "anchors")
    for at in ("write_pointer", "enter_history"):
        with monkeypatch.context() as patch:
            patch.setattr(publishing, at, die)
            with pytest.raises(SystemExit):
                publish(made(warehouse.run(f"dies-at-{at}", "anchors"), CHECKS), folder)
    prune(warehouse, utc_now(), keep=9)
    assert len(list(history_folder(warehouse.root, "anchors").iterdir())) == 2
    prune(warehouse, utc_now() + timedelta(days=9), keep=9)
    assert {row["run_id"] for row in read_history(warehouse.root, "anchors")} == {"dies-at-enter_history"}
    assert len(list(history_folder(warehouse.root, "anchors").iterdir())) == 1


def test_what_a_killed_writer_left_is_not_read(warehouse: Warehouse) -> None:
    published(warehouse.run("r1", "anchors"), CHECKS)
    (history_folder(warehouse.root, "anchors") / ".r2.parquet.0f").write_bytes(b"PAR1 half")
    assert {one["run_id"] for one in read_history(warehouse.root, "anchors")} == {"r1"}
    warehouse.rebuild_catalogue()
    assert warehouse.query("select count(*) as n from history").to_pylist() == [{"n": 2}]


def test_prune_keeps_the_history_of_the_runs_that_it_removes(warehouse: Warehouse) -> None:
    for run_id in ("r1", "r2", "r3"):
        published(warehouse.run(run_id, "anchors"), CHECKS)
    removed = prune(warehouse, utc_now() + timedelta(days=9), keep=1)
    assert {run.run_id for run in removed} == {"r1", "r2"}
    assert {one["run_id"] for one in read_history(warehouse.root, "anchors")} == {"r1", "r2", "r3"}


def test_a_scenario_that_is_removed_leaves_the_view_and_not_the_disk(warehouse: Warehouse) -> None:
    for scenario_id in ("anchors", "lower5"):
        published(warehouse.run("r1", scenario_id), CHECKS)
    scenario_folder(warehouse.root, "anchors").rmdir()
    warehouse.rebuild_catalogue()
    assert warehouse.query("select distinct run_id from history").num_rows == 1
    assert warehouse.query("select count(*) as n from history").to_pylist() == [{"n": 2}]
    assert len(read_history(warehouse.root, "anchors")) == 2


def test_a_run_that_was_published_before_there_was_a_history_does_no_harm(warehouse: Warehouse) -> None:
    published(warehouse.run("r1", "anchors"), CHECKS)
    (file,) = history_folder(warehouse.root, "anchors").iterdir()
    file.unlink()
    warehouse.rebuild_catalogue()
    assert warehouse.query("select * from history").num_rows == 0


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({b"cj_pipeline_history_schema": b"2"}, "is version 2 of the history of a run, .*reads version 1"),
        ({}, "is no history of a run"),
    ],
)
def test_another_file_is_refused_by_name(warehouse: Warehouse, metadata: dict[bytes, bytes], problem: str) -> None:
    path = history_folder(warehouse.root, "anchors") / "odd.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(metadata), path)
    with pytest.raises(BadInput, match=problem) as refusal:
        read_history(warehouse.root, "anchors")
    assert refusal.value.path == path
    path.write_bytes(b"no Parquet")
    with pytest.raises(BadInput, match="is damaged, or is no Parquet file"):
        read_history(warehouse.root, "anchors")
