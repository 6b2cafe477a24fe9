"""This module tests how runs are executed: which processes, which limits, and what is tried again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterRun,
    DagsterRunStatus,
    Definitions,
    MaterializeResult,
    asset,
    define_asset_job,
    execute_job,
    reconstructable,
)
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.executor.init import InitExecutorContext
from dagster._core.run_coordinator import SubmitRunContext

from assets import sides
from assets.executor import in_process_unless_asked, processors
from cj_pipeline.definitions import build_defs, defs
from cj_pipeline.instance import LPS_TAG, URL_VARIABLE, ScenarioQueue, lps_url
from cj_pipeline.runs.remote import ServiceUnreachable
from resources.lps import LpsResource
from tests.dagster_floor.floor import LOWER5, execute
from tests.house import REPOSITORY

QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@asset
def first() -> MaterializeResult[None]:
    return MaterializeResult(metadata={"pid": os.getpid()})


@asset(deps=[first])
def second() -> MaterializeResult[None]:
    return MaterializeResult(metadata={"pid": os.getpid()})


def two_steps() -> Any:
    """The job, for a process that is given a function's name."""
    made = Definitions(
        assets=[first, second], executor=in_process_unless_asked, jobs=[define_asset_job("both", [first, second])]
    )
    return made.resolve_job_def("both")


def processes(config: dict[str, Any], tmp_path: Path) -> list[int]:
    """The processes of the two steps."""
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = execute_job(reconstructable(two_steps), instance, run_config={**QUIET, **config})
        assert result.success
        events = [instance.get_latest_materialization_event(AssetKey(name)) for name in ("first", "second")]
    return [int(str(e.asset_materialization.metadata["pid"].value)) for e in events if e and e.asset_materialization]


def test_a_run_is_one_process_and_this_one(tmp_path: Path) -> None:
    assert set(processes({}, tmp_path)) == {os.getpid()}


@pytest.mark.servers("services")  # three interpreters, a second or more each
def test_who_asks_for_processes_gets_one_for_each_step(tmp_path: Path) -> None:
    found = processes({"execution": {"config": {"multiprocess": {"max_concurrent": 1}}}}, tmp_path)
    assert len(set(found) | {os.getpid()}) == 3


def made(config: dict[str, Any]) -> Any:
    """The executor of a run under one configuration, as Dagster makes it."""
    with DagsterInstance.ephemeral() as instance:
        context = InitExecutorContext(
            job=InMemoryJob(two_steps()),
            executor_def=in_process_unless_asked,
            executor_config=config,
            instance=instance,
        )
        creation = in_process_unless_asked.executor_creation_fn
        assert creation is not None
        return creation(context)


def test_processes_are_forks_of_one_that_knows_the_code_and_no_more_than_there_are_processors() -> None:
    asked: dict[str, Any] = {"retries": {"enabled": {}}, "max_concurrent": None}
    plain = made({"multiprocess": asked})
    assert (plain._start_method, plain._explicit_forkserver_preload) == ("forkserver", ["cj_pipeline.definitions"])
    assert plain._max_concurrent == processors()
    own = made({"multiprocess": {**asked, "max_concurrent": 7, "start_method": {"spawn": {}}}})
    assert (own._start_method, own._max_concurrent) == ("spawn", 7)


@pytest.mark.parametrize("config", [{"multiproces": {}}, {"in_process": {}, "multiprocess": {}}], ids=str)
def test_a_choice_that_is_none_is_refused_with_the_choices(config: dict[str, Any], tmp_path: Path) -> None:
    with (
        DagsterInstance.local_temp(str(tmp_path)) as instance,
        pytest.raises(DagsterInvalidConfigError, match="in_process"),
    ):
        execute_job(reconstructable(two_steps), instance, run_config={"execution": {"config": config}})


@pytest.mark.parametrize("job", ["parity_all", "__ASSET_JOB", "observe_kafka"])
def test_every_door_has_this_executor(job: str) -> None:
    # `__ASSET_JOB` is what "Materialize all", an asset's page, a backfill and `dagster asset materialize` run.
    assert defs.get_repository_def().get_job(job).executor_def is in_process_unless_asked


def test_a_parity_run_has_an_hour() -> None:
    jobs = [job for job in defs.resolve_all_job_defs() if job.name.startswith("parity_")]
    assert len(jobs) == 7
    assert {job.tags["dagster/max_runtime"] for job in jobs} == {"3600"}


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({"resources": {"lps": {"config": {"url": "http://lps:8080/"}}}}, "http://lps:8080"),
        ({"resources": {"lps": {"config": {"night": "2026-01-01"}}}}, ""),
        ({"resources": {"lps": {"config": {"url": {"env": "LPS_URL"}}}}}, ""),
        ({"resources": None}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_the_lps_of_a_run_is_in_its_configuration(config: dict[str, Any], url: str) -> None:
    assert lps_url(config) == url


def instance_of(folder: Path, file: Path) -> DagsterInstance:
    """An instance as one of our files configures it."""
    folder.mkdir(exist_ok=True)
    shutil.copy(file, folder / "dagster.yaml")
    return DagsterInstance.from_config(str(folder))


def test_the_queue_tags_a_run_with_its_lps_and_lets_one_at_a_time_to_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with instance_of(tmp_path, REPOSITORY / "dagster.yaml") as instance:
        queue = instance.run_coordinator
        assert isinstance(queue, ScenarioQueue)
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        assert limits.max_concurrent_runs == 2
        each = {"applyLimitPerUniqueValue": True}
        assert {"key": LPS_TAG, "value": each, "limit": 1} in limits.tag_concurrency_limits
        config = {"resources": {"lps": {"config": {"url": "http://lps"}}}}
        run = DagsterRun(job_name="parity_all", run_config=config, status=DagsterRunStatus.NOT_STARTED)
        monkeypatch.setattr(
            "dagster._core.run_coordinator.queued_run_coordinator.QueuedRunCoordinator.submit_run",
            lambda self, context: context.dagster_run,
        )
        instance.add_run(run)
        queue.submit_run(SubmitRunContext(run, None))  # type: ignore[arg-type]  # no workspace is asked
        kept = instance.get_run_by_id(run.run_id)
    assert kept is not None
    assert kept.tags[LPS_TAG] == "http://lps"


def test_machines_faults_are_tried_again_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    with instance_of(tmp_path, REPOSITORY / "dagster.yaml") as instance:
        assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 1)
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert instance.run_monitoring_max_runtime_seconds == 86400


def test_the_example_for_several_machines_differs_in_the_launcher_and_the_length_of_the_queue_alone() -> None:
    here = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    there = yaml.safe_load((REPOSITORY / "docs/examples/dagster-celery.yaml").read_text())
    assert (here.pop("run_launcher")["class"], there.pop("run_launcher")["class"]) == ("ProcessRuns", "CeleryRuns")
    # A run goes back into the queue while Redis is away.
    queue = there["run_coordinator"]["config"]
    assert queue.pop("max_user_code_failure_retries") * queue.pop("user_code_failure_retry_delay") == 300
    assert there["concurrency"]["runs"].pop("max_concurrent_runs") > here["concurrency"]["runs"].pop(
        "max_concurrent_runs"
    )
    assert there == here


def asked(error: Exception, monkeypatch: pytest.MonkeyPatch, data: Path) -> tuple[int, bool]:
    """How often a service was asked that always fails so, and whether the run ended well."""
    calls: list[int] = []

    def answers(self: LpsResource, *_: object) -> None:
        calls.append(1)
        raise error

    monkeypatch.setattr(LpsResource, "answers", answers)
    monkeypatch.setattr(sides, "UNREACHABLE_WAIT_S", 0.0)
    result = execute(LOWER5, data, select=[AssetKey(["live", "callbacks"]), AssetKey(["live", "metrics"])])
    return len(calls), result.success


def test_a_service_that_is_away_is_asked_three_times_and_a_defect_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(ServiceUnreachable("http://lps: nobody"), monkeypatch, tmp_path) == (3, False)
    assert asked(ValueError("a defect"), monkeypatch, tmp_path) == (1, False)


def test_the_code_location_s_executor_is_kept_where_resources_are_replaced() -> None:
    assert build_defs(resource_overrides={"lps": object()}).executor is in_process_unless_asked
