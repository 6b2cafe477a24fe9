"""This module tests where Dagster keeps its events: SQLite, or PostgreSQL when its URL is set."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance, MaterializeResult, asset, materialize

from cj_pipeline.instance import URL_VARIABLE, with_driver
from tests.house import REPOSITORY


def loaded(home: Path) -> DagsterInstance:
    """The instance of the project's dagster.yaml."""
    home.mkdir(exist_ok=True)
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    return DagsterInstance.from_config(str(home))


@asset
def something() -> MaterializeResult[None]:
    return MaterializeResult(metadata={"answer": 42})


def remembers(home: Path) -> bool:
    """Whether what one loading of the instance stored is there in the next."""
    with loaded(home) as instance:
        assert materialize([something], instance=instance).success
    with loaded(home) as instance:
        event = instance.get_latest_materialization_event(AssetKey("something"))
        runs = instance.get_runs_count()
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata["answer"].value == 42 and runs == 1


def test_without_a_url_events_are_in_sqlite_under_dagster_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert remembers(tmp_path / "home")
    assert (tmp_path / "home/history/runs.db").is_file()


def test_without_dagster_home_events_are_where_the_ui_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with loaded(tmp_path / "elsewhere") as instance:
        assert materialize([something], instance=instance).success
    assert (tmp_path / ".dagster/history/runs.db").is_file()


def test_telemetry_is_off_and_dead_runs_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with loaded(tmp_path) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.run_monitoring_enabled
        assert instance.get_concurrency_config().run_queue_config is not None


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://me@db/dagster", "postgresql+psycopg2://me@db/dagster"),
        ("postgres://me@db/dagster", "postgresql+psycopg2://me@db/dagster"),
        ("postgresql+psycopg2://me@db/dagster", "postgresql+psycopg2://me@db/dagster"),
    ],
)
def test_a_url_gets_the_driver_that_is_installed(given: str, used: str) -> None:
    assert with_driver(given) == used


def test_with_a_url_events_are_in_postgresql(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL_VARIABLE, postgres_url)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert remembers(tmp_path / "home")
    assert not (tmp_path / "home/history").exists()


AT_ONCE = """
import multiprocessing, sys
from cj_pipeline.instance import EnvironmentStorage

def load(barrier):
    barrier.wait(60)
    EnvironmentStorage.from_config_value(None, {})

context = multiprocessing.get_context("fork")  # Dagster is imported once
barrier = context.Barrier(4)
processes = [context.Process(target=load, args=(barrier,)) for _ in range(4)]
for process in processes:
    process.start()
for process in processes:
    process.join()
sys.exit(sum(process.exitcode != 0 for process in processes))
"""


def test_processes_that_start_at_once_on_a_new_folder_all_find_its_tables(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != URL_VARIABLE}
    environment |= {"DAGSTER_HOME": str(tmp_path / "new"), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE], env=environment, check=False, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "new/history/runs.db").is_file()
