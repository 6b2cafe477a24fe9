"""The daemon is asked through the instance: it has no port, and writes a sign of life of each of its loops."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.instance import URL_VARIABLE, daemon_problem
from cj_pipeline.local.ports import free_port
from tests.house import REPOSITORY

WITHIN_S = 180.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An instance over SQLite of which no daemon has ever run."""
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    return tmp_path


def give_signs(home: Path, age_s: float = 0.0, *, late: tuple[str, float] = ("", 0.0), error: str = "") -> None:
    """Write what a daemon writes every 30 s. late: one loop, and how old its sign is."""
    errors = [SerializableErrorInfo(error, [], None)] if error else []
    with DagsterInstance.from_config(str(home)) as instance:
        for kind in instance.get_required_daemon_types():
            age = late[1] if kind == late[0] else age_s
            instance.add_daemon_heartbeat(DaemonHeartbeat(utc_now().timestamp() - age, kind, "id", errors))


def test_a_daemon_that_never_ran_is_not_there(home: Path) -> None:
    assert daemon_problem(WITHIN_S, errors_too=True).endswith("has never given a sign of life.")


def test_all_loops_with_a_recent_sign_are_well(home: Path) -> None:
    give_signs(home)
    assert daemon_problem(WITHIN_S, errors_too=True) == ""


@pytest.mark.parametrize("kind", ["SENSOR", "SCHEDULER", "QUEUED_RUN_COORDINATOR", "MONITORING", "BACKFILL"])
def test_one_loop_that_stopped_is_found_and_named(home: Path, kind: str) -> None:
    give_signs(home, late=(kind, 600.0))
    assert daemon_problem(WITHIN_S, errors_too=True).startswith(f"Its loop {kind} gave its latest sign of life 60")


def test_a_loop_that_lives_and_fails_is_alive_and_not_ready(home: Path) -> None:
    give_signs(home, error="DagsterUserCodeUnreachableError: away\nStack")
    assert daemon_problem(WITHIN_S, errors_too=False) == ""
    assert daemon_problem(WITHIN_S, errors_too=True).endswith("fails: DagsterUserCodeUnreachableError: away")


def test_a_storage_that_is_away_is_told_without_a_traceback(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its URL is a file, as a container gets it.
    (home / "url").write_text(f"postgresql://cj:hidden@127.0.0.1:{free_port()}/cj\n")
    monkeypatch.setenv(f"{URL_VARIABLE}_FILE", str(home / "url"))
    said = daemon_problem(WITHIN_S, errors_too=True)
    assert said.startswith("The storage cannot be read: ")
    assert "refused" in said
    assert "hidden" not in said


def test_a_home_without_an_instance_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert daemon_problem(WITHIN_S, errors_too=True) == (
        f"There is no dagster.yaml in '{tmp_path}'; set DAGSTER_HOME to the daemon's."
    )
