"""This module tests the launcher for several machines: whether it notices that the worker of a run is gone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import LaunchRunContext

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.instance import URL_VARIABLE
from cj_pipeline.warehouse.deployment import require_same_deployment
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

    @property
    def info(self) -> dict[str, object] | None:
        return None if self._states == ["PENDING"] else {"hostname": "celery@w0", "pid": 7}


def launcher(
    monkeypatch: pytest.MonkeyPatch, states: list[str], workers: dict[str, list[dict[str, str]]] | None
) -> Any:
    """The launcher in front of a Redis and workers that answer so."""
    from cj_pipeline.celery_runs import CeleryRuns

    made = CeleryRuns(default_queue="dagster", broker="memory://", backend="cache+memory://")
    monkeypatch.setattr(made.celery, "AsyncResult", lambda _: Result(states))

    class Control:
        def inspect(self, destination: list[str] | None, timeout: float) -> Control:
            assert (destination, timeout > 0) == (None if states == ["PENDING"] else ["celery@w0"], True)
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


def test_a_run_that_redis_has_forgotten_runs_as_long_as_a_worker_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = launcher(monkeypatch, ["PENDING"], {"celery@w0": [], "celery@w1": [{"id": TASK}]})
    assert [made.check_run_worker_health(run(**GIVEN)).status.value for _ in range(4)] == ["RUNNING"] * 4


def test_a_run_that_redis_has_forgotten_and_no_worker_has_is_given_three_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = launcher(monkeypatch, ["PENDING"], {"celery@w0": []})
    one = run(**GIVEN)
    looks = [made.check_run_worker_health(one) for _ in range(3)]
    assert [look.status.value for look in looks] == ["RUNNING", "RUNNING", "FAILED"]
    assert looks[-1].msg == "Redis no longer knows the task of this run, and 3 times no worker said that it has it."


def test_a_task_that_failed_is_a_run_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = launcher(monkeypatch, ["FAILURE"], {"celery@w0": [{"id": TASK}]})
    assert made.check_run_worker_health(run(**GIVEN)).status.value == "FAILED"


def test_a_launched_run_says_which_code_and_which_folder_its_worker_is_to_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    from dagster_celery.launcher import CeleryRunLauncher
    from kombu.exceptions import OperationalError

    made = launcher(monkeypatch, ["PENDING"], None)
    away = OperationalError("no route to host")

    def gone(*_: object) -> None:
        raise away

    with DagsterInstance.ephemeral() as instance:
        made.register_instance(instance)
        one = instance.add_run(run())
        monkeypatch.setattr(CeleryRunLauncher, "launch_run", gone)
        with pytest.raises(DagsterUserCodeUnreachableError, match="broker of the Celery workers is away: no route"):
            made.launch_run(LaunchRunContext(one, None))
        kept = instance.get_run_by_id(one.run_id)
    assert kept is not None
    require_same_deployment(kept.tags, tmp_path / "data")
    with pytest.raises(BadInput, match="CJ_PIPELINE_DATA_DIR"):
        require_same_deployment(kept.tags, tmp_path / "elsewhere")


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
    assert {name: worker[name] for name in ("broker", "backend")} == instance["run_launcher"]["config"]
