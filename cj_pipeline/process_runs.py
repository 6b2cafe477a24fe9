"""This module launches runs as processes of the code server, and notices when a process or that server is gone.

`dagster.yaml` names it. The code server tells of a worker that died, but nobody of a code server that died with its
workers, as in the end of its container or of the machine: its runs would be "started" for an hour.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

from cj_pipeline.foundation.clock import utc_now

_log = logging.getLogger(__name__)

ANSWER_S = 5

# Looks, half a minute apart, before a run is given up. Dagster tries it again at once, and never after that: until then
# its daemon must have seen that the code server is back.
LOOKS = 3

# Field 22 of proc_pid_stat(5), counted from field 4: ticks between the start of the machine and that of a process.
_START = 18

CLOCK_STEP_S = 60.0
"""By how much the clock may be set forward before a worker is taken for a younger process."""

_RUNS = CheckRunHealthResult(WorkerStatus.RUNNING)


class ProcessRuns(DefaultRunLauncher):
    """Dagster's own launcher, which also asks the code server whether it still has the run."""

    def __init__(self, inst_data: Any = None) -> None:
        super().__init__(inst_data)
        self._without: dict[str, int] = {}

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Return True, so that the daemon asks."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return how the worker of a run is; a run that no code server was given is taken to run."""
        has, where = self._code_server_has(run), json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
        if has:
            self._without.pop(run.run_id, None)
            return _RUNS
        if has is None and "socket" not in where:  # it is waited for; one behind a socket comes back behind another
            return _RUNS
        # A code server that is killed alone leaves its workers behind, which go on.
        if _is_here(where) and (told := self._process_of(run)) is not None and _is_alive(*told):
            return _RUNS
        self._without[run.run_id] = looks = self._without.get(run.run_id, 0) + 1
        if looks < LOOKS:
            return _RUNS
        del self._without[run.run_id]
        return CheckRunHealthResult(WorkerStatus.FAILED, "The code server was started again, and lost this run.")

    def _code_server_has(self, run: DagsterRun) -> bool | None:
        """Return whether its code server has the run; None where it does not answer."""
        client: Any = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:  # a command runs it, or it has ended
            return True
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=ANSWER_S)
        except DagsterUserCodeUnreachableError:
            return None
        return deserialize_value(answer, CanCancelExecutionResult).can_cancel

    def _process_of(self, run: DagsterRun) -> tuple[int, float] | None:
        """Return the process that a run told of, and when, in seconds since 1970."""
        for entry in self._instance.all_logs(run.run_id):
            event = entry.dagster_event
            if event is not None and event.is_engine_event and (pid := event.engine_event_data.metadata.get("pid")):
                return int(str(pid.value)), entry.timestamp
        return None


def _is_here(where: Mapping[str, Any]) -> bool:
    """Return whether a code server is on this machine. where: as Dagster tags a run with it."""
    return "socket" in where or where.get("host") in {"localhost", "127.0.0.1", "::1"}


def _is_alive(pid: int, told_at: float) -> bool:
    """Return whether the process runs that told of itself at a time, in seconds since 1970.

    Not one that has ended and that nobody has asked about, and not a younger one with the same number.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):  # without /proc, it is taken to run
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        started_s = float(fields[_START]) / os.sysconf("SC_CLK_TCK")
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - started_s
        return state != "Z" and age_s >= utc_now().timestamp() - told_at - CLOCK_STEP_S
    return True


def keep_watching() -> None:
    """In a code server, let the thread that looks after its runs outlive an error of the storage.

    Dagster's ends with the first one. From then on no death of a worker is noticed, and a SIGTERM, after which that
    thread ends the server, has no end. A server that is to end and has no worker left ends although the storage is
    away: the daemon finds its runs. In any other process this changes nothing.
    """
    servers = sys.modules.get("dagster._grpc.server")
    if servers is None or hasattr(servers.DagsterApiServer._check_for_orphaned_runs, "__wrapped__"):
        return
    look = servers.DagsterApiServer._check_for_orphaned_runs

    @wraps(look)
    def look_and_go_on(server: Any) -> None:
        try:
            look(server)
        except Exception as error:  # the storage is away: the next look is in a second
            _log.warning("the runs of this code server could not be looked after: %s", type(error).__name__)
            at_work = any(worker.is_alive() for worker, _ in server._executions.values())
            if server._shutdown_once_executions_finish_event.is_set() and not at_work:
                server._server_termination_event.set()

    servers.DagsterApiServer._check_for_orphaned_runs = look_and_go_on
