"""This module declares the job that removes what nobody looks at any more, and the schedule of it, after the night.

Nothing is removed unless `CJ_PIPELINE_NIGHT_KEEP_RUNS` or `CJ_PIPELINE_NIGHT_KEEP_DAYS` is set. Runs that people
launched stay in Dagster; `assets/night.py` says which are of a night.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    JobDefinition,
    OpExecutionContext,
    RunRecord,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    job,
    op,
    schedule,
)

from assets.jobs import LIMITS
from assets.night import NIGHT_TAG, PARENT_TAG, PARTITION_TAG, RETRY_NUMBER_TAG
from cj_pipeline.alerts.night_settings import NightSettings, night_settings
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.warehouse.data_root import data_root
from cj_pipeline.warehouse.prune import prune
from cj_pipeline.warehouse.store import Warehouse

RETENTION_JOB, RETENTION_SCHEDULE = "retention", "retention_daily"

_PAGE = 500


def retain(instance: DagsterInstance, datasets: DataPath, settings: NightSettings, now: datetime) -> str:
    """Remove what the settings let go, and say in sentences what stays all the same, and how much went. now: aware."""
    said: list[str] = []
    if settings.keep_runs is not None:
        removed = prune(Warehouse(datasets), now, keep=settings.keep_runs, on_left=said.append)
        said.append(f"Runs removed from the data folder: {len(removed)}.")
    if settings.keep_days is not None:
        forgotten = _forget(instance, now - timedelta(days=settings.keep_days))
        said.append(f"Runs of nights removed from Dagster: {forgotten}.")
    return " ".join(said)


def _forget(instance: DagsterInstance, before: datetime) -> int:
    """Remove runs of nights that ended before a time, with their events, and return how many.

    The newest run of each scenario stays, and its newest one that succeeded: what the UI shows of it.
    """
    kept: set[tuple[str, bool]] = set()
    gone = []
    for record in _nights(instance):
        run = record.dagster_run
        scenario_id, good = run.tags.get(PARTITION_TAG, ""), run.status is DagsterRunStatus.SUCCESS
        wanted = {(scenario_id, False), (scenario_id, good)} - kept
        kept |= wanted
        if not wanted and record.create_timestamp < before and run.is_finished:
            gone.append(run.run_id)
    for run_id in gone:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    return len(gone)


def _nights(instance: DagsterInstance) -> Iterator[RunRecord]:
    """Yield the runs of all nights, the newest first."""
    cursor = None
    while page := instance.get_run_records(RunsFilter(), limit=_PAGE, cursor=cursor):
        for record in page:
            tags = record.dagster_run.tags
            by_a_person = PARENT_TAG in tags and RETRY_NUMBER_TAG not in tags
            if NIGHT_TAG in tags and not by_a_person:
                yield record
        cursor = page[-1].dagster_run.run_id


def retention_job(datasets: str) -> JobDefinition:
    """Declare the job. datasets: their absolute folder, or address on object storage."""

    @op(description="Removes what CJ_PIPELINE_NIGHT_KEEP_RUNS and CJ_PIPELINE_NIGHT_KEEP_DAYS let go.")
    def remove(context: OpExecutionContext) -> None:
        said = retain(context.instance, data_root(datasets), night_settings(), utc_now())
        context.log.info(said or "Neither is set: nothing was removed.")

    @job(
        name=RETENTION_JOB,
        tags=LIMITS,
        description="Removes old runs from the data folder and from Dagster, as far as the settings say "
        "(docs/nightly.md). What is published, and the history, stay.",
    )
    def retention() -> None:
        remove()

    return retention


def retention_schedule() -> ScheduleDefinition:
    """Declare the run of the job at six, when the night is over."""

    @schedule(
        name=RETENTION_SCHEDULE,
        job_name=RETENTION_JOB,
        cron_schedule="0 6 * * *",
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description="Retention at 06:00 UTC, where CJ_PIPELINE_NIGHT_KEEP_RUNS or CJ_PIPELINE_NIGHT_KEEP_DAYS is set.",
    )
    def daily(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        settings = night_settings()
        if settings.keep_runs is None and settings.keep_days is None:
            return SkipReason("CJ_PIPELINE_NIGHT_KEEP_RUNS and CJ_PIPELINE_NIGHT_KEEP_DAYS are not set.")
        return RunRequest(run_key=context.scheduled_execution_time.date().isoformat())

    return daily
