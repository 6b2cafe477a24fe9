"""This module tests the launcher of processes: whether it notices that a code server is gone with its runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import EngineEventData
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc import server as servers
from dagster._grpc.types import CanCancelExecutionResult
from dagster._serdes import serialize_value
from sqlalchemy.exc import DBAPIError

from cj_pipeline.instance import URL_VARIABLE
from cj_pipeline.process_runs import ProcessRuns, keep_watching
from tests.house import REPOSITORY


class CodeServer:
    """What a code server says about a run, in turn: whether it has it, or nothing. The last answer stays."""

    def __init__(self, *answers: bool | None) -> None:
        self._answers = list(answers)

    def can_cancel_execution(self, *_: object, **__: object) -> str:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            raise DagsterUserCodeUnreachableError("nobody answers")
        return serialize_value(CanCancelExecutionResult(can_cancel=answer))


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    with DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def ended_process() -> int:
    """The id of a process that was."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def looks(
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    *answers: bool | None,
    pid: int | None = None,
    host: str = "127.0.0.1",
    times: int = 4,
) -> list[tuple[str, str | None]]:
    """What the launcher says of a run, look by look. pid: of its worker; host: empty where it is behind a socket."""
    launcher = instance.run_launcher
    assert isinstance(launcher, ProcessRuns)
    assert launcher.supports_check_run_worker_health
    server = CodeServer(*answers)
    monkeypatch.setattr(launcher, "_get_grpc_client_for_termination", lambda _: server)
    tags = {GRPC_INFO_TAG: json.dumps({"host": host, "port": 1} if host else {"host": "localhost", "socket": "/s"})}
    run = instance.add_run(DagsterRun(job_name="parity_all", status=DagsterRunStatus.STARTED, tags=tags))
    instance.report_engine_event("another event", run)
    if pid is not None:
        instance.report_engine_event("Started process for run", run, EngineEventData.in_process(pid))
    found = [launcher.check_run_worker_health(run) for _ in range(times)]
    return [(one.status.value, one.msg) for one in found]


RUNS = ("RUNNING", None)
LOST = ("FAILED", "The code server was started again, and lost this run.")


def test_a_run_that_its_code_server_has_runs(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks(instance, monkeypatch, True) == [RUNS] * 4
    assert looks(instance, monkeypatch, False, False, True, False) == [RUNS] * 4


def test_a_code_server_that_was_started_again_has_lost_its_run(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At the third look, when the daemon has seen that it is back: the run is launched again at once, or never.
    assert looks(instance, monkeypatch, False, pid=ended_process()) == [RUNS, RUNS, LOST, RUNS]
    assert looks(instance, monkeypatch, False, pid=None, times=3) == [RUNS, RUNS, LOST]
    # The number of a process says nothing about another machine.
    assert looks(instance, monkeypatch, False, pid=os.getpid(), host="code-server", times=3) == [RUNS, RUNS, LOST]


def test_a_worker_that_outlives_its_code_server_goes_on(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looks(instance, monkeypatch, False, pid=os.getpid()) == [RUNS] * 4
    assert looks(instance, monkeypatch, None, pid=os.getpid(), host="") == [RUNS] * 4


def test_a_younger_process_with_the_number_of_a_worker_is_another(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if this process had begun after what the worker told.
    monkeypatch.setattr("cj_pipeline.process_runs.time.clock_gettime", lambda _: 0.0)
    assert looks(instance, monkeypatch, False, pid=os.getpid(), times=3) == [RUNS, RUNS, LOST]


def test_a_worker_that_ended_and_that_nobody_has_asked_about_does_not_run(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    found = looks(instance, monkeypatch, False, pid=zombie.pid, times=3)
    zombie.wait()
    assert found == [RUNS, RUNS, LOST]


def test_a_code_server_that_is_silent_is_waited_for_unless_it_comes_back_elsewhere(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looks(instance, monkeypatch, None) == [RUNS] * 4
    assert looks(instance, monkeypatch, None, host="") == [RUNS, RUNS, LOST, RUNS]


def test_a_run_that_a_command_started_is_left_alone(instance: DagsterInstance) -> None:
    launcher: Any = instance.run_launcher
    run = instance.add_run(DagsterRun(job_name="parity_all", status=DagsterRunStatus.STARTED))
    assert launcher.check_run_worker_health(run).status.value == "RUNNING"


def test_the_watch_of_a_code_server_over_its_runs_outlives_an_error_of_the_storage(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks_of = []

    def away(server: object) -> None:
        looks_of.append(server)
        raise DBAPIError("select 1", None, OSError("the server is away"))

    monkeypatch.setattr(servers.DagsterApiServer, "_check_for_orphaned_runs", away)
    keep_watching()
    once = servers.DagsterApiServer._check_for_orphaned_runs
    keep_watching()
    assert servers.DagsterApiServer._check_for_orphaned_runs is once
    ends = Event()

    class Server:
        """As much of Dagster's as its thread needs. It ends at the third look."""

        _server_termination_event = ends
        _shutdown_once_executions_finish_event = Event()
        _executions: ClassVar[dict[str, Any]] = {}
        _cleanup_thread = servers.DagsterApiServer._cleanup_thread

        def _check_for_orphaned_runs(self) -> None:
            try:
                once(self)  # type: ignore[arg-type]
            finally:
                if len(looks_of) == 3:
                    ends.set()

    monkeypatch.setattr(servers, "CLEANUP_TICK", 0.01)
    Server()._cleanup_thread()  # type: ignore[misc]
    assert len(looks_of) == 3
    assert caplog.messages == ["the runs of this code server could not be looked after: DBAPIError"] * 3


@pytest.mark.parametrize(("asked", "works", "ends"), [(True, False, True), (True, True, False), (False, False, False)])
def test_a_code_server_that_is_to_end_does_so_without_workers_though_the_storage_is_away(
    asked: bool, works: bool, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(server: object) -> None:
        raise DBAPIError("select 1", None, OSError("the server is away"))

    monkeypatch.setattr(servers.DagsterApiServer, "_check_for_orphaned_runs", away)
    keep_watching()
    server = SimpleNamespace(
        _executions={"run": (SimpleNamespace(is_alive=lambda: works), None)},
        _shutdown_once_executions_finish_event=Event(),
        _server_termination_event=Event(),
    )
    if asked:
        server._shutdown_once_executions_finish_event.set()
    servers.DagsterApiServer._check_for_orphaned_runs(server)  # type: ignore[arg-type]
    assert server._server_termination_event.is_set() == ends


def test_a_code_server_has_that_watch() -> None:
    said = subprocess.run(
        [sys.executable, "-c", IN_A_CODE_SERVER], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert said.stdout == "True\n"


IN_A_CODE_SERVER = """
from dagster._grpc.server import DagsterApiServer
import cj_pipeline.definitions
print(hasattr(DagsterApiServer._check_for_orphaned_runs, "__wrapped__"))
"""
