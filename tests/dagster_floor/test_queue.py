"""This module tests the queue of runs as dagster.yaml has it: its order and its limits, with many runs in it.

The daemon's own look at the queue is asked, look by look; nothing is launched.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from cj_pipeline.instance import LPS_TAG, URL_VARIABLE
from tests.dagster_floor.machines import PARTITION_TAG
from tests.house import REPOSITORY

ORIGIN = RemoteJobOrigin(
    repository_origin=RemoteRepositoryOrigin(
        code_location_origin=RegisteredCodeLocationOrigin("cj_pipeline"), repository_name="__repository__"
    ),
    job_name="parity_all",
)
# More than one page of the daemon's.
RUNS = 120


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    with DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def queued(instance: DagsterInstance, scenario: str, lps: str = "") -> None:
    tags = {PARTITION_TAG: scenario, **({LPS_TAG: lps} if lps else {})}
    status = DagsterRunStatus.QUEUED
    instance.add_run(DagsterRun(job_name="parity_all", status=status, remote_job_origin=ORIGIN, tags=tags))


def looks(instance: DagsterInstance, count: int) -> list[list[str]]:
    """The scenarios that each of so many looks would launch; what a look launches has ended two looks later."""
    daemon = QueuedRunCoordinatorDaemon(1)
    found: list[list[str]] = []
    running: list[list[DagsterRun]] = [[], []]
    for _ in range(count):
        for run in running.pop(0):
            instance.report_run_failed(run)
        taken = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
        for run in taken:
            instance.report_dagster_event(DagsterEvent(DagsterEventType.RUN_START.value, "parity_all"), run.run_id)
        running.append(taken)
        found.append([run.tags[PARTITION_TAG] for run in taken])
    return found


def test_many_runs_leave_the_queue_in_their_order_and_two_at_once(instance: DagsterInstance) -> None:
    names = [f"scenario_{number:03}" for number in range(RUNS)]
    for name in names:
        queued(instance, name)
    assert looks(instance, 6) == [names[:2], [], names[2:4], [], names[4:6], []]


def test_a_run_that_is_to_wait_for_its_lps_lets_others_pass(instance: DagsterInstance) -> None:
    for number in range(RUNS):
        queued(instance, f"deployed_{number:03}", "http://lps:8080")
    queued(instance, "embedded")
    assert looks(instance, 3) == [["deployed_000", "embedded"], [], ["deployed_001"]]
