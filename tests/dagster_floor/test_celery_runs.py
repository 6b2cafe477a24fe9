"""This module tests the launcher for several machines: whether it notices that the worker of a run is gone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from cj_pipeline.instance import URL_VARIABLE
from tests.house import REPOSITORY

pytestmark = pytest.mark.servers("celery")

TASK = "task-1"


class Result:
    """What Redis says of a task."""

    def __init__(self, states: list[str]) -> None:
        self._states = states

    @property
    def state(self) -> str:
        return self._states.pop(0) if len(self._states) > 1 else self._states[0]

    info = {"hostname": "celery@w0", "pid": 7}  # noqa: RUF012


def launcher(
    monkeypatch: pytest.MonkeyPatch, states: list[str], workers: dict[str, list[dict[str, str]]] | None
) -> Any:
    """The launcher in front of a Redis and workers that answer so."""
    from cj_pipeline.celery_runs import CeleryRuns

    made = CeleryRuns(default_queue="dagster", broker="memory://", backend="cache+memory://")
    monkeypatch.setattr(made.celery, "AsyncResult", lambda _: Result(states))

    class Control:
        def inspect(self, destination: list[str], timeout: float) -> Control:
            assert (destination, timeout > 0) == (["celery@w0"], True)
            return self

        def active(self) -> dict[str, list[dict[str, str]]] | None:
            return workers

    monkeypatch.setattr(made.celery, "control", Control())
    return made


def run(**tags: str) -> DagsterRun:
    return DagsterRun(job_name="parity_all", status=DagsterRunStatus.STARTED, tags=tags)


GIVEN = {"dagster-celery/task_id": TASK}


def test_a_run_that_its_worker_has_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = launcher(monkeypatch, ["STARTED"], {"celery@w0": [{"id": TASK}]})
    assert [made.check_run_worker_health(run(**GIVEN)).status.value for _ in range(9)] == ["RUNNING"] * 9


def test_a_worker_that_was_started_again_has_lost_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made = launcher(monkeypatch, ["STARTED"], {"celery@w0": []})
    found = made.check_run_worker_health(run(**GIVEN))
    assert found.status.value == "FAILED"
    assert found.msg == "The worker celery@w0 was started again, and no longer has this run."


def test_a_run_that_ended_meanwhile_has_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    made = launcher(monkeypatch, ["STARTED", "SUCCESS"], {"celery@w0": []})
    assert made.check_run_worker_health(run(**GIVEN)).status.value == "SUCCESS"


def test_a_worker_that_is_silent_is_given_three_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = launcher(monkeypatch, ["STARTED"], None)
    one = run(**GIVEN)
    looks = [made.check_run_worker_health(one).status.value for _ in range(4)]
    assert looks == ["RUNNING", "RUNNING", "FAILED", "RUNNING"]


def test_a_run_that_a_command_started_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Dagster's own launcher fails on it, and would call it lost.
    made = launcher(monkeypatch, ["PENDING"], None)
    assert made.check_run_worker_health(run()).status.value == "RUNNING"


def test_the_example_makes_this_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cj_pipeline.celery_runs import CeleryRuns

    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("CJ_PIPELINE_CELERY_URL", "redis://127.0.0.1:1/0")
    shutil.copy(REPOSITORY / "docs/examples/dagster-celery.yaml", tmp_path / "dagster.yaml")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        found = instance.run_launcher
        assert isinstance(found, CeleryRuns)
        assert (found.broker, found.backend) == ("redis://127.0.0.1:1/0",) * 2
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 8  # type: ignore[union-attr]


def test_worker_and_launcher_name_the_same_broker() -> None:
    worker = yaml.safe_load((REPOSITORY / "docs/examples/celery-worker.yaml").read_text())["execution"]["config"]
    instance = yaml.safe_load((REPOSITORY / "docs/examples/dagster-celery.yaml").read_text())
    assert worker == instance["run_launcher"]["config"]
