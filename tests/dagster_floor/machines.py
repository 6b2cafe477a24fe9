"""This module is a deployment of Dagster on several machines, as processes of this one: PostgreSQL, daemon, workers.

Here: the processes, their instance, backfills and what came of them. Not here: Redis (tests/services/lps/), assertions.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord, RunsFilter
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemotePartitionSetOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.run_coordinator import SubmitRunContext

from assets.jobs import ALL_JOB
from assets.night import PARTITION_TAG, WILL_RETRY_TAG
from cj_pipeline.instance import URL_VARIABLE
from cj_pipeline.local.server import Server, ServerSpec
from tests.house import REPOSITORY

BROKER_VARIABLE = "CJ_PIPELINE_CELERY_URL"
LOCATION = "cj_pipeline"

_BINARIES = Path(sys.executable).parent
_START_S = 180.0


class Machines:
    """A deployment below one folder. Its servers are started one by one, and end with the process that started them.

    broker: URL of Redis; without one, Dagster's own launcher runs on this machine. changed: settings of dagster.yaml by
    dotted key.
    """

    def __init__(
        self,
        folder: Path,
        *,
        postgres: str | None,
        broker: str | None = None,
        traces: Path | None = None,
        **changed: object,
    ) -> None:
        self.folder, self.traces = folder, traces or folder / "traces"
        self.data, self.home = folder / "data", folder / "home"
        for made in (self.data, self.home, self.traces):
            made.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("CJ_PIPELINE_", "DAGSTER_"))},
            # This checkout, whatever is installed. With bytecode, since half a dozen processes import all of it.
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONWARNINGS": "ignore",
            "PATH": f"{_BINARIES}{os.pathsep}{os.environ['PATH']}",
            "OPENBLAS_NUM_THREADS": "1",
            "DAGSTER_HOME": str(self.home),
            "CJ_PIPELINE_DATA_DIR": str(self.data),
            "CJ_PIPELINE_TRACES_DIR": str(self.traces),
        }
        if "CJ_PIPELINE_CACHE_DIR" in os.environ:
            self.environment["CJ_PIPELINE_CACHE_DIR"] = os.environ["CJ_PIPELINE_CACHE_DIR"]
        if postgres is not None:
            self.environment[URL_VARIABLE] = postgres
        if broker is not None:
            self.environment[BROKER_VARIABLE] = broker
        file = REPOSITORY / ("dagster.yaml" if broker is None else "docs/examples/dagster-celery.yaml")
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
        for key, value in changed.items():
            _set(settings, key.split("__"), value)
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    def daemon(self) -> Server:
        """Return the daemon, which starts a code server of its own."""
        return self.program("daemon", "dagster-daemon", "run", ready="Instance is configured")

    def program(self, name: str, program: str, *words: object, ready: str) -> Server:
        """Return one of Dagster's programs over the workspace, which is up when its log says a word."""
        command = [_BINARIES / program, *words, "-w", REPOSITORY / "workspace.yaml"]
        return self.process(name, command, ready=lambda log: ready in log)

    def worker(self, name: str, *, processes: int = 1, **environment: str) -> Server:
        """Return a Celery worker, started as docs/nightly.md says. environment: of this one alone."""
        file = REPOSITORY / "docs/examples/celery-worker.yaml"
        command = [_BINARIES / "dagster-celery", "worker", "start", "-A", "dagster_celery.app", "-y", file, "-n", name]
        command += ["--", f"--concurrency={processes}"]
        return self.process(name, command, ready=lambda log: f"{name}@" in log and " ready." in log, **environment)

    def process(
        self, name: str, command: Sequence[object], *, ready: Callable[[str], bool], **environment: str
    ) -> Server:
        """Return a process of the deployment that is up when its log says so."""
        log = self.folder / f"{name}.log"
        return Server(
            ServerSpec(
                name=name,
                address=str(log),
                log=log,
                command=lambda: [str(word) for word in command],
                answers=lambda: ready(log.read_text(encoding="utf-8", errors="replace")),
                environment={**self.environment, **environment},
                folder=self.folder,
                start_timeout_s=_START_S,
                stop_timeout_s=10.0,
            )
        )

    @contextmanager
    def instance(self) -> Iterator[DagsterInstance]:
        """Open the deployment's instance in this process."""
        kept = {name: os.environ.get(name) for name in (URL_VARIABLE, BROKER_VARIABLE, "DAGSTER_HOME")}
        os.environ.update({name: self.environment[name] for name in kept if name in self.environment})
        try:
            with DagsterInstance.from_config(str(self.home)) as instance:
                yield instance
        finally:
            for name, value in kept.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _set(settings: dict[str, Any], keys: Sequence[str], value: object) -> None:
    for key in keys[:-1]:
        settings = settings.setdefault(key, {})
    settings[keys[-1]] = value


def backfill(
    instance: DagsterInstance,
    scenarios: Sequence[str],
    *,
    run_config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Ask for a run of each scenario, as the UI does on the page of the job. Return the backfill's id."""
    found = PartitionBackfill(
        backfill_id=uuid4().hex[:8],
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags=dict(tags or {}),
        backfill_timestamp=time.time(),
        partition_set_origin=RemotePartitionSetOrigin(
            repository_origin=RemoteRepositoryOrigin(
                code_location_origin=RegisteredCodeLocationOrigin(LOCATION), repository_name="__repository__"
            ),
            partition_set_name=f"{ALL_JOB}_partition_set",
        ),
        partition_names=list(scenarios),
        run_config=dict(run_config or {}),
    )
    instance.add_backfill(found)
    return found.backfill_id


def runs_of(instance: DagsterInstance, backfill_id: str) -> list[RunRecord]:
    """Return every run of a backfill, those that were launched again too, the oldest first."""
    filters = RunsFilter(tags={"dagster/backfill": backfill_id})
    return list(instance.get_run_records(filters, ascending=True))


def settled(run: DagsterRun) -> bool:
    """Return whether a run has ended and is not to be launched again, which Dagster says a moment later."""
    return run.is_finished and (run.status is not DagsterRunStatus.FAILURE or run.tags.get(WILL_RETRY_TAG) == "false")


def scenario_of(record: RunRecord) -> str:
    """Return the scenario of a run."""
    return record.dagster_run.tags[PARTITION_TAG]


def again(instance: DagsterInstance, run: DagsterRun, **resources: Mapping[str, Any]) -> str:
    """Put a copy of a run into the queue, with a configuration of its resources. Return its id."""
    kept = {name: value for name, value in run.tags.items() if name in (PARTITION_TAG, "dagster/max_runtime")}
    made = run._replace(
        run_id=str(uuid4()),
        status=DagsterRunStatus.NOT_STARTED,
        tags=kept,
        run_config={"resources": {name: {"config": dict(config)} for name, config in resources.items()}},
        root_run_id=None,
        parent_run_id=None,
    )
    instance.add_run(made)
    instance.run_coordinator.submit_run(SubmitRunContext(made, None))  # type: ignore[arg-type]  # it asks no workspace
    return made.run_id


def by_status(records: Sequence[RunRecord]) -> dict[str, list[str]]:
    """Return the scenarios by the state of their runs."""
    found: dict[str, list[str]] = {}
    for record in records:
        found.setdefault(record.dagster_run.status.value, []).append(scenario_of(record))
    return found


def copies(source: Path, traces: Path, names: Sequence[str]) -> None:
    """Make scenarios of one folder, each with an id and a seed of its own."""
    for seed, name in enumerate(names, start=1):
        folder = traces / name
        if folder.exists():
            continue
        draft = traces / f".{name}"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(source, draft)
        for path in draft.iterdir():
            path.write_text(path.read_text(encoding="utf-8").replace(source.name, name), encoding="utf-8")
        scenario = draft / "scenario.yaml"
        settings = yaml.safe_load(scenario.read_text(encoding="utf-8"))
        settings["live"]["seed"] = seed
        scenario.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        listed = [line.split()[-1] for line in (draft / "SHA256SUMS").read_text(encoding="utf-8").splitlines()]
        sums = subprocess.run(["sha256sum", *listed], cwd=draft, check=True, capture_output=True, text=True).stdout
        (draft / "SHA256SUMS").write_text(sums, encoding="utf-8")
        draft.rename(folder)
