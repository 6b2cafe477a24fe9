"""`prune` removes what nobody looks at any more, and never what is published or may still be written."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from cj_pipeline.foundation.versions import NewerVersion
from cj_pipeline.warehouse.prune import prune
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.store import Warehouse
from tests.warehouse.old_folder import newer
from tests.warehouse.rows import made, origin, published

NOW = datetime(2026, 1, 10, tzinfo=UTC)


def aged(run: RunFolder, days: float) -> RunFolder:
    """The same run, last written so many days before now."""
    then = (NOW - timedelta(days=days)).timestamp()
    for path in run.folder.glob("*/*"):
        os.utime(path, (then, then))
    return run


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """One published run, older than two whole ones, and a trial and a broken-off run, each old and new."""
    data = Warehouse(tmp_path / "data")
    for name, days in (("whole-4", 4), ("whole-3", 3)):
        aged(made(data.run(name, "anchors")), days)
    aged(published(data.run("published", "anchors")), 30)
    for name, days in (("trial-old", 2.0), ("trial-new", 0.5)):
        aged(made(data.run(name, "anchors"), trial=True), days)
    for name, days in (("broken-old", 2.0), ("broken-new", 0.5)):
        run = data.run(name, "anchors")
        run.write("callbacks", "live", [], origin())
        aged(run, days)
    return data


def left(warehouse: Warehouse) -> set[str]:
    return {path.name for path in (warehouse.root / "runs").iterdir()}


def test_trials_and_broken_runs_of_yesterday_are_removed(warehouse: Warehouse) -> None:
    removed = {run.run_id for run in prune(warehouse, NOW, keep=10)}
    assert removed == {"trial-old", "broken-old"}
    assert left(warehouse) == {"published", "whole-4", "whole-3", "trial-new", "broken-new"}


@pytest.mark.parametrize(
    ("keep", "kept"), [(1, {"published"}), (2, {"published", "whole-3"}), (3, {"published", "whole-3", "whole-4"})]
)
def test_the_newest_whole_runs_are_kept_beside_the_published_one(
    keep: int, kept: set[str], warehouse: Warehouse
) -> None:
    prune(warehouse, NOW, keep=keep)
    assert left(warehouse) == kept | {"trial-new", "broken-new"}
    assert warehouse.published_run("anchors").read("parity_reports", "parity")


def test_a_run_that_may_be_about_to_publish_stays(tmp_path: Path) -> None:
    data = Warehouse(tmp_path / "data")
    for number in range(3):
        aged(made(data.run(f"r{number}", "anchors")), 0.5)
    assert prune(data, NOW, keep=1) == ()


def test_an_empty_data_folder_has_nothing_to_remove(tmp_path: Path) -> None:
    assert prune(Warehouse(tmp_path), NOW, keep=10) == ()


def test_what_is_no_run_folder_stays_and_no_link_is_followed(warehouse: Warehouse, tmp_path: Path) -> None:
    elsewhere = aged(made(Warehouse(tmp_path / "elsewhere").run("other", "anchors"), trial=True), 5).folder
    runs = warehouse.root / "runs"
    (runs / "links").mkdir()
    others = [runs / "trial-old/.DS_Store", runs / ".cache/anchors", runs / "links/anchors", runs / "other"]
    others.append(runs / "trial-old/notes.txt")
    others[4].touch()
    others[0].touch()
    others[1].mkdir(parents=True)
    others[2].symlink_to(elsewhere)
    others[3].symlink_to(elsewhere.parent)
    (runs / "broken-old/anchors/callbacks/gone").symlink_to("nowhere")
    for path in (*others, runs / "broken-old/anchors/callbacks/gone"):
        os.utime(path, (1.7e9, 1.7e9), follow_symlinks=False)
    os.utime(elsewhere.parent, (1.7e9, 1.7e9))
    removed = {run.run_id for run in prune(warehouse, NOW, keep=10)}
    assert removed == {"trial-old", "broken-old"}
    assert all(os.path.lexists(path) for path in others)
    assert any(elsewhere.glob("*/*"))


def test_a_run_with_a_damaged_report_stays_for_people_to_look_at(warehouse: Warehouse) -> None:
    run = warehouse.run("whole-4", "anchors")
    run.path("parity_reports", "parity").write_bytes(b"PAR1 and no more")
    aged(run, 4)
    prune(warehouse, NOW, keep=1)
    assert left(warehouse) == {"published", "whole-4", "trial-new", "broken-new"}


@pytest.mark.parametrize(
    ("run_id", "part"),
    [
        ("broken-old", ("callbacks", "live")),
        ("whole-4", ("parity_reports", "parity")),
        ("whole-4", ("callbacks", "live")),
        ("trial-old", ("callbacks", "live")),
    ],
)
def test_what_a_newer_program_has_left_is_not_removed(warehouse: Warehouse, run_id: str, part: tuple[str, str]) -> None:
    run = warehouse.run(run_id, "anchors")
    newer(run.path(*part))
    aged(run, 4)
    before = left(warehouse)
    with pytest.raises(NewerVersion, match="version 9"):
        prune(warehouse, NOW, keep=1)
    assert left(warehouse) == before


@pytest.mark.parametrize("run_id", ["tomorrow", "trial-old", "whole-3"])
def test_a_run_with_a_dataset_of_a_newer_program_is_left_and_named(warehouse: Warehouse, run_id: str) -> None:
    run = warehouse.run(run_id, "anchors")
    unknown = run.folder / "forecasts"
    unknown.mkdir(parents=True)
    (unknown / "live.parquet").write_bytes(b"PAR1")
    aged(run, 4)
    named: list[str] = []
    removed = prune(warehouse, NOW, keep=1, on_left=named.append)
    assert (unknown / "live.parquet").is_file()
    assert {one.run_id for one in removed} == {"trial-old", "broken-old", "whole-3", "whole-4"} - {run_id}
    (sentence,) = named
    assert sentence.startswith(f"{unknown}: is no dataset that this cj-pipeline knows")


def test_what_killed_writers_have_left_is_removed_after_a_day(warehouse: Warehouse) -> None:
    old, young = (warehouse.root / f".catalogue.duckdb.{letter * 32}" for letter in "ab")
    for path, days in ((old, 2.0), (young, 0.5)):
        path.touch()
        then = (NOW - timedelta(days=days)).timestamp()
        os.utime(path, (then, then))
    prune(warehouse, NOW, keep=10)
    assert (old.exists(), young.exists()) == (False, True)


def test_of_two_that_prune_at_once_one_waits(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = Event(), Event()

    def slow(*_: object) -> tuple[RunFolder, ...]:
        assert not inside.is_set()
        inside.set()
        assert go_on.wait(60)
        inside.clear()
        return ()

    monkeypatch.setattr("cj_pipeline.warehouse.prune._pruned", slow)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(prune, warehouse, NOW, keep=1) for _ in range(2)]
        assert inside.wait(60)
        time.sleep(0.2)  # the other one has come as far as the lock
        go_on.set()
        assert [one.result(60) for one in both] == [(), ()]
