"""This module tests what a night removes: nothing unless it is set, and never what people look at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultScheduleStatus,
    build_schedule_context,
)

from assets.night import NIGHT_TAG, PARTITION_TAG
from assets.retention import RETENTION_JOB, RETENTION_SCHEDULE, retain, retention_job
from cj_pipeline.alerts.night_settings import PREFIX, NightSettings, night_settings
from cj_pipeline.definitions import defs
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.store import Warehouse
from tests.house import REPOSITORY
from tests.warehouse.rows import made, published

SIX = datetime(2026, 5, 3, 6, tzinfo=UTC)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    (tmp_path / "home").mkdir()
    with DagsterInstance.local_temp(str(tmp_path / "home")) as found:
        yield found


def aged(run: RunFolder, days: float) -> RunFolder:
    """The same run, last written so many days ago."""
    then = (utc_now() - timedelta(days=days)).timestamp()
    for path in run.folder.glob("*/*"):
        os.utime(path, (then, then))
    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A published run, two older whole ones, and one that is being written."""
    warehouse = Warehouse(tmp_path / "data")
    for days in (5, 4):
        aged(made(warehouse.run(f"whole-{days}", "anchors")), days)
    aged(published(warehouse.run("published", "anchors")), 3)
    made(warehouse.run("running", "anchors"), trial=True)
    return warehouse.root


def left(data: Path) -> set[str]:
    return {path.name for path in (data / "runs").iterdir() if path.is_dir()}


def tick() -> tuple[int, str]:
    """How many runs the schedule requests, and what it says instead."""
    with DagsterInstance.ephemeral() as instance:
        context = build_schedule_context(instance, scheduled_execution_time=SIX)
        found = defs.resolve_schedule_def(RETENTION_SCHEDULE).evaluate_tick(context)
    return len(found.run_requests or []), found.skip_message or ""


def test_the_schedule_runs_by_default_and_removes_nothing_unless_it_is_told_how_much_to_keep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("KEEP_RUNS", "KEEP_DAYS"):
        monkeypatch.delenv(f"{PREFIX}{name}", raising=False)
    found = defs.resolve_schedule_def(RETENTION_SCHEDULE)
    assert (found.default_status, found.cron_schedule) == (DefaultScheduleStatus.RUNNING, "0 6 * * *")
    assert tick() == (0, f"{PREFIX}KEEP_RUNS and {PREFIX}KEEP_DAYS are not set.")
    monkeypatch.setenv(f"{PREFIX}KEEP_RUNS", "10")
    assert tick() == (1, "")


def test_the_job_removes_what_is_beyond_and_nothing_that_is_published_or_being_written(
    data: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}KEEP_RUNS", "2")
    assert defs.resolve_job_def(RETENTION_JOB).tags["dagster/max_runtime"] == "3600"
    assert retention_job(str(data)).execute_in_process(instance=instance).success
    assert left(data) == {"published", "whole-4", "running"}


def test_without_a_setting_the_job_removes_nothing(data: Path, instance: DagsterInstance) -> None:
    before = left(data)
    assert retain(instance, data, NightSettings(), utc_now()) == ""
    assert left(data) == before


def night_run(instance: DagsterInstance, scenario_id: str, status: DagsterRunStatus, night: str = "2026-01-01") -> str:
    """A run with an event."""
    tags = {NIGHT_TAG: night, PARTITION_TAG: scenario_id} if night else {PARTITION_TAG: scenario_id}
    run = instance.add_run(DagsterRun(job_name="parity_all", status=status, tags=tags))
    instance.report_engine_event("an event", run)
    return run.run_id


def test_dagster_forgets_old_nights_and_keeps_what_the_ui_shows_of_a_scenario(
    data: Path, instance: DagsterInstance
) -> None:
    success, failure = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE
    by_hand = night_run(instance, "a", success, night="")
    unfinished = night_run(instance, "a", DagsterRunStatus.STARTED)
    old = [night_run(instance, "a", success), night_run(instance, "a", failure), night_run(instance, "b", success)]
    kept = [
        night_run(instance, "a", success),  # the newest one that succeeded
        night_run(instance, "a", failure),  # the newest one
        night_run(instance, "b", success),
        night_run(instance, "c", DagsterRunStatus.STARTED),
    ]
    settings = NightSettings(keep_days=30)
    said = "Runs of nights removed from Dagster: {}."
    assert retain(instance, data, settings, utc_now() + timedelta(days=29)) == said.format(0)
    assert retain(instance, data, settings, utc_now() + timedelta(days=31)) == said.format(3)
    assert {run.run_id for run in instance.get_runs()} == {by_hand, unfinished, *kept}
    events = {DagsterEventType.ENGINE_EVENT}
    assert [len(instance.all_logs(run_id, of_type=events)) for run_id in (*old, kept[0])] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("KEEP_RUNS", "0", "greater than or equal to 1"),
        ("KEEP_DAYS", "6", "greater than or equal to 7"),
        ("LPS", "autumn", "part 1 of it is not of the form scenario=URL"),
        ("LPS", "autumn=lps:8080", "part 1 of it has no URL of the form"),
        ("LPS", "autumn=http://", "part 1 of it has no URL of the form"),
        ("LPS", "autumn=http://a:8080 winter=http://b", "part 1 of it has no URL of the form"),
        ("LPS", "autumn=http://a,autumn=http://b:8080", "part 2 of it names a scenario that it has named before"),
        ("LPS", "http://user:8080@lps/?a=b", "part 1 of it is not of the form scenario=URL"),
        ("LPS", "autumn=http://user:80,8080=80@lps", "part 2 of it has no URL of the form"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}{variable}", value)
    with pytest.raises(BadInput, match=f"environment: {PREFIX}{variable}.*{said}") as refused:
        night_settings()
    assert "8080" not in str(refused.value)  # a URL may hold a password


def test_deployed_services_are_named_by_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}LPS", "autumn=http://lps:8080, winter = https://other/")
    assert night_settings().lps == {"autumn": "http://lps:8080", "winter": "https://other/"}


def test_every_setting_of_a_night_is_documented() -> None:
    page = (REPOSITORY / "docs/nightly.md").read_text(encoding="utf-8")
    assert [name for name in NightSettings.model_fields if f"`{PREFIX}{name.upper()}`" not in page] == []
