"""This module launches runs as Celery tasks, and notices when the worker of one is gone.

`docs/examples/dagster-celery.yaml` names it. Dagster's own launcher believes Redis, in which the task of a killed
worker is "started" for ever, and which forgets its tasks when it is started again without its file; it drops a run
while Redis is away, and fails on runs that a command started and no worker has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from kombu.exceptions import OperationalError

from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.warehouse.deployment import deployment_tags

if TYPE_CHECKING:
    from dagster import DagsterRun
    from dagster._core.launcher import LaunchRunContext

ANSWER_S = 3.0

# Looks, half a minute apart. A busy worker may be slow to answer, and its run must not be started twice for that.
SILENT_LOOKS = 3


class CeleryRuns(CeleryRunLauncher):
    """Celery's launcher, which also asks the worker whether it still has the run."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._silent: dict[str, int] = {}

    def launch_run(self, context: LaunchRunContext) -> None:
        """Give a run to the workers, tagged with the code and the data folder that they are to have.

        Raises, where Redis is away, the one error after which Dagster puts a run back into the queue.
        """
        run_id = context.dagster_run.run_id
        self._instance.add_run_tags(run_id, deployment_tags(PipelineSettings().data_dir.absolute()))
        try:
            super().launch_run(context)
        except OperationalError as error:
            raise DagsterUserCodeUnreachableError(f"The broker of the Celery workers is away: {error}") from error

    def terminate(self, run_id: str) -> bool:
        """Stop a run that a worker has; return False for one that none has."""
        run = self._instance.get_run_by_id(run_id)
        return run is not None and DAGSTER_CELERY_TASK_ID_TAG in run.tags and super().terminate(run_id)

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return how the worker of a run is; a run that no worker was given is taken to run."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        found: CheckRunHealthResult = super().check_run_worker_health(run)
        # Unknown: Redis has forgotten the task, which says nothing about the worker.
        if found.status not in (WorkerStatus.RUNNING, WorkerStatus.UNKNOWN):
            self._silent.pop(run.run_id, None)
            return found
        if (lost := self._lost(run.run_id, task_id)) is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        # It may have ended while the workers were asked.
        again: CheckRunHealthResult = super().check_run_worker_health(run)
        return CheckRunHealthResult(WorkerStatus.FAILED, lost) if again.status is found.status else again

    def _lost(self, run_id: str, task_id: str) -> str | None:
        """Return why a run that is said to run does not, in words; None where it does, or that is not sure yet."""
        info = self.celery.AsyncResult(task_id).info
        worker = info.get("hostname") if isinstance(info, dict) else None
        active = self.celery.control.inspect(destination=worker and [worker], timeout=ANSWER_S).active() or {}
        if any(task["id"] == task_id for tasks in active.values() for task in tasks):
            self._silent.pop(run_id, None)
            return None
        if active and worker:
            return f"The worker {worker} was started again, and no longer has this run."
        self._silent[run_id] = looks = self._silent.get(run_id, 0) + 1
        if looks < SILENT_LOOKS:
            return None
        del self._silent[run_id]
        if worker:
            return f"The worker {worker} of this run did not answer {SILENT_LOOKS} times."
        return f"Redis no longer knows the task of this run, and {SILENT_LOOKS} times no worker said that it has it."
