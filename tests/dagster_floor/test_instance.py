"""This module tests where Dagster keeps its events: SQLite, or PostgreSQL when its URL is set."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterEventType, DagsterInstance, MaterializeResult, asset, materialize
from sqlalchemy import NullPool, create_engine, text

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


def connections(postgres_url: str, *, end: bool = False) -> set[int]:
    """Process ids of the server's open connections to a database; `end` breaks them off, as a restart would."""
    engine = create_engine(with_driver(postgres_url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    others = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    with engine.connect() as connection:
        found = set(connection.execute(text(f"select pid {others}")).scalars())
        if end:
            connection.execute(text(f"select pg_terminate_backend(pid) {others}"))
    return found


def test_events_go_through_connections_that_stay_open_and_a_broken_one_costs_no_event(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL_VARIABLE, postgres_url)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with loaded(tmp_path / "home") as instance:
        assert materialize([something], instance=instance).success
        kept = connections(postgres_url)
        assert materialize([something], instance=instance).success
        assert len(kept) in (1, 2)
        assert connections(postgres_url) == kept
        assert connections(postgres_url, end=True) == kept
        result = materialize([something], instance=instance)
        assert result.success
        stored = instance.all_logs(result.run_id)
    assert [entry.is_dagster_event and entry.get_dagster_event().event_type for entry in stored].count(
        DagsterEventType.ASSET_MATERIALIZATION
    ) == 1


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
