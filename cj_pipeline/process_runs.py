"""This module launches runs as processes of the code server, and notices when the process of one is gone.

`dagster.yaml` names it. The code server tells of a worker that died, but nobody of a code server that died with its
workers, as in the end of its container or of the machine: its runs would be "started" for an hour.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

ANSWER_S = 5

# Looks, half a minute apart: a code server that is being started again imports for some seconds.
SILENT_LOOKS = 3

_RUNS = CheckRunHealthResult(WorkerStatus.RUNNING)


class ProcessRuns(DefaultRunLauncher):
    """Dagster's own launcher, which also asks the code server whether it still has the run."""

    def __init__(self, inst_data: Any = None) -> None:
        super().__init__(inst_data)
        self._silent: dict[str, int] = {}

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Return True, so that the daemon asks."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return how the worker of a run is; a run that no code server was given is taken to run."""
        has = self._code_server_has(run)
        if has is not False:
            looks = 0 if has else self._silent.get(run.run_id, 0) + 1
            self._silent[run.run_id] = looks
            if looks < SILENT_LOOKS:
                return _RUNS
        # A code server that is killed alone leaves its workers behind, which go on.
        if _is_here(run) and (pid := self._process_of(run)) is not None and _is_alive(pid):
            return _RUNS
        self._silent.pop(run.run_id, None)
        problem = (
            "The code server was started again, and no longer has this run."
            if has is False
            else f"The code server of this run did not answer {SILENT_LOOKS} times."
        )
        return CheckRunHealthResult(WorkerStatus.FAILED, problem)

    def _code_server_has(self, run: DagsterRun) -> bool | None:
        """Return whether its code server has the run; None where it does not answer."""
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:  # a command runs it, or it has ended
            return True
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=ANSWER_S)
        except DagsterUserCodeUnreachableError:
            return None
        return deserialize_value(answer, CanCancelExecutionResult).can_cancel

    def _process_of(self, run: DagsterRun) -> int | None:
        for entry in self._instance.all_logs(run.run_id):
            event = entry.dagster_event
            if event is not None and event.is_engine_event and (pid := event.engine_event_data.metadata.get("pid")):
                return int(str(pid.value))
        return None


def _is_here(run: DagsterRun) -> bool:
    """Return whether the code server of a run is on this machine."""
    where = json.loads(run.tags[GRPC_INFO_TAG])
    return where.get("socket") is not None or where.get("host") in {"localhost", "127.0.0.1", "::1"}


def _is_alive(pid: int) -> bool:
    """Return whether a process runs. One that has ended and that nobody has asked about does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):  # without /proc, it is taken to run
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True
