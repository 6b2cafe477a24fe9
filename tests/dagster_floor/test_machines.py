"""This module tests runs on several machines with the real things: Redis, PostgreSQL, a daemon, Celery workers.

Each machine is a process here. What is killed is killed with SIGKILL, parent and children.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from cj_pipeline.local.server import Server
from tests.dagster_floor.floor import LOWER5, TRACES
from tests.dagster_floor.machines import Machines, again, backfill, by_status, copies, runs_of, scenario_of, settled
from tests.house import REPOSITORY
from tests.services.lps.redis_server import RedisServer, redis_binary
from tests.services.lps.served import Served

pytestmark = pytest.mark.servers("celery", "postgresql", "redis")

SCENARIOS = tuple(f"copy_{number}" for number in range(4))
PATIENCE_S = 240.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """What all tests share: two workers, which each test leaves running."""

    machines: Machines
    instance: DagsterInstance
    redis: RedisServer
    workers: dict[str, Server]
    first: str

    def run(self, run_id: str) -> DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until it holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > deadline:
                states = {run.run_id[:8]: run.status.value for run in self.instance.get_runs()}
                logs = "\n".join(server.last_words() for server in self.workers.values())
                raise AssertionError(f"not {what} after {PATIENCE_S:g} s; runs: {states}\n{logs}")
            time.sleep(0.1)

    def launch(self, scenario: str, **resources: dict[str, object]) -> str:
        """Queue a run of a scenario."""
        runs = runs_of(self.instance, self.first)
        like = next(record.dagster_run for record in runs if scenario_of(record) == scenario)
        return again(self.instance, like, **resources)

    def attempts(self, run_id: str) -> list[DagsterRun]:
        """Return a run and those that were launched in its place, the oldest first."""
        later = self.instance.get_runs(RunsFilter(tags={"dagster/root_run_id": run_id}), ascending=True)
        return [self.run(run_id), *later]

    def settled(self, run_id: str) -> bool:
        """Return whether a run has ended and is not to be launched again."""
        return settled(self.attempts(run_id)[-1])

    def has(self, worker: str, run_id: str) -> bool:
        """Return whether a worker was given a run."""
        task = self.run(run_id).tags.get("dagster-celery/task_id")
        return f"[{task}] received" in self.log(worker)

    def log(self, worker: str) -> str:
        return self.workers[worker].log.read_text(encoding="utf-8", errors="replace")

    def events(self, run_id: str) -> list[DagsterEventType | None]:
        """Return the types of a run's events, in their order."""
        logged = self.instance.all_logs(run_id)
        return [entry.get_dagster_event().event_type for entry in logged if entry.is_dagster_event]

    def succeeded(self, run_id: str) -> set[str | None]:
        """Return the steps of a run that succeeded."""
        logged = self.instance.all_logs(run_id, of_type=DagsterEventType.STEP_SUCCESS)
        return {entry.step_key for entry in logged}

    def messages(self, run_id: str) -> str:
        """Return everything that the log of a run says, errors with their causes."""
        logged = [entry.dagster_event for entry in self.instance.all_logs(run_id)]
        return "\n".join(f"{event.message} {event.event_specific_data}" for event in logged if event is not None)

    @contextmanager
    def only(self, name: str, **environment: str) -> Iterator[None]:
        """Let one other worker take every run."""
        for server in self.workers.values():
            server.stop()
        try:
            with self.machines.worker(name, **environment):
                yield
        finally:
            start(*self.workers.values())


def start(*servers: Server) -> None:
    """Start servers at the same time."""
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(Server.start, servers))


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    binary = redis_binary()
    assert binary is not None
    with RedisServer(binary, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, postgres_url: str, redis: RedisServer) -> Iterator[Deployment]:
    machines = Machines(
        tmp_path_factory.mktemp("machines"),
        postgres=postgres_url,
        broker=redis.url,
        concurrency__runs__max_concurrent_runs=2,
        # Three looks take longer than a worker waits before it calls a Redis that is back, at most 12 s here.
        run_monitoring__poll_interval_seconds=5,
        run_coordinator__config__user_code_failure_retry_delay=1,
    )
    machines.environment["DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS"] = "1"  # looks for runs to launch again
    copies(TRACES / LOWER5, machines.traces, SCENARIOS)
    with ExitStack() as stack:
        instance = stack.enter_context(machines.instance())
        workers = {name: machines.worker(name) for name in ("a", "b")}
        daemon = machines.daemon()
        for server in (*workers.values(), daemon):
            stack.callback(server.stop)
        # The daemon looks for backfills when it starts, and then every half minute.
        first = backfill(instance, SCENARIOS)
        start(daemon, *workers.values())
        made = Deployment(machines, instance, redis, workers, first)
        made.until("all runs of the backfill ended", lambda: ended(made))
        yield made


def ended(deployment: Deployment) -> bool:
    runs = runs_of(deployment.instance, deployment.first)
    return len(runs) >= len(SCENARIOS) and all(record.dagster_run.is_finished for record in runs)


def test_a_backfill_succeeds_and_each_worker_does_some_of_it(deployment: Deployment) -> None:
    runs = runs_of(deployment.instance, deployment.first)
    assert {state: sorted(names) for state, names in by_status(runs).items()} == {"SUCCESS": list(SCENARIOS)}
    assert all(deployment.log(name).count(" succeeded in ") > 0 for name in deployment.workers)
    published = {path.stem for path in (deployment.machines.data / "published").glob("*.json")}
    assert published == set(SCENARIOS)


def test_the_run_of_a_killed_worker_is_noticed_and_launched_again(deployment: Deployment) -> None:
    both = [deployment.launch(scenario) for scenario in SCENARIOS[:2]]
    started = DagsterRunStatus.STARTED
    deployment.until("started", lambda: any(deployment.run(one).status is started for one in both))
    lost = next(one for one in both if deployment.run(one).status is started)
    worker = next(name for name in deployment.workers if deployment.has(name, lost))
    deployment.workers[worker].kill()
    try:
        deployment.until("settled", lambda: all(map(deployment.settled, both)))
    finally:
        deployment.workers[worker].start()
    states = [[run.status.value for run in deployment.attempts(one)] for one in both]
    assert sorted(states) == [["FAILURE", "SUCCESS"], ["SUCCESS"]]
    assert f"The worker {worker}@" in deployment.messages(lost)
    assert "of this run did not answer 3 times." in deployment.messages(lost)


def test_a_redis_that_is_away_and_forgets_everything_costs_no_run(deployment: Deployment) -> None:
    running = [deployment.launch(scenario) for scenario in SCENARIOS[:2]]
    deployment.until("started", lambda: all(deployment.run(one).status is DagsterRunStatus.STARTED for one in running))
    queued = deployment.launch(SCENARIOS[2])
    deployment.redis.kill()
    shutil.rmtree(deployment.redis.folder / "appendonlydir")
    away = "The broker of the Celery workers is away"
    deployment.until("back in the queue", lambda: away in deployment.messages(queued))
    deployment.redis.start()
    deployment.until("settled", lambda: all(map(deployment.settled, [*running, queued])))
    assert [[run.status.value for run in deployment.attempts(one)] for one in [*running, queued]] == [["SUCCESS"]] * 3


def test_what_a_retry_can_help_is_tried_again_and_one_run_at_a_time_asks_an_lps(deployment: Deployment) -> None:
    settings = {"use_mock_llm": True, "queue_processing_mode": "serial_bundle"}
    with Served(deployment.machines.data, mock_mode="eng5_lower5_gpt51_low+instant", **settings) as service:
        service.kill()
        lps = {"url": service.url, "mode": "+instant"}
        asking = [deployment.launch(scenario, lps=lps) for scenario in SCENARIOS[:2]]
        red = deployment.launch(SCENARIOS[2], lps={"mode": "+inverted"})
        waiting = DagsterEventType.STEP_UP_FOR_RETRY
        deployment.until("up for a retry", lambda: any(waiting in deployment.events(one) for one in asking))
        service.start_again().wait_until_ready()
        deployment.until("settled", lambda: all(map(deployment.settled, [*asking, red])))
    first, second = sorted(asking, key=lambda one: started_at(deployment, one))
    tries = DagsterEventType.STEP_RESTARTED
    assert [deployment.events(one).count(tries) for one in (first, second)] == [1, 0]
    for one in (first, second):
        assert "live_callbacks" in deployment.succeeded(one)
    # There was a place for the second all the while: the run with a wrong mock took it.
    record = deployment.instance.get_run_record_by_id(first)
    assert record is not None
    assert record.end_time is not None
    assert started_at(deployment, red) < record.end_time <= started_at(deployment, second)
    # All three have red gates: two an answer in no time, one the worse essay. They would be red again.
    for one in (first, second, red):
        assert [run.status.value for run in deployment.attempts(one)] == ["FAILURE"]
    assert waiting not in deployment.events(red)


def started_at(deployment: Deployment, run_id: str) -> float:
    record = deployment.instance.get_run_record_by_id(run_id)
    assert record is not None
    assert record.start_time is not None
    return record.start_time


def test_a_worker_without_the_shared_folder_says_so(deployment: Deployment, tmp_path: Path) -> None:
    with deployment.only("elsewhere", CJ_PIPELINE_DATA_DIR=str(tmp_path / "own")):
        run = deployment.launch(SCENARIOS[0])
        deployment.until("settled", lambda: deployment.settled(run))
    assert deployment.run(run).status is DagsterRunStatus.FAILURE
    told = f"CJ_PIPELINE_DATA_DIR: {tmp_path / 'own'} is not the data folder of the process that launched the run"
    assert told in deployment.messages(run)
    assert not (tmp_path / "own").exists()


def test_a_worker_without_the_traces_says_so(deployment: Deployment, tmp_path: Path) -> None:
    with deployment.only("traceless", CJ_PIPELINE_TRACES_DIR=str(tmp_path / "none")):
        run = deployment.launch(SCENARIOS[0])
        deployment.until("settled", lambda: deployment.settled(run))
    assert deployment.run(run).status is DagsterRunStatus.FAILURE
    assert str(tmp_path / "none") in deployment.messages(run)


def test_a_worker_with_other_code_says_so(deployment: Deployment, tmp_path: Path) -> None:
    for package in ("assets", "cj_pipeline", "resources"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "assets/jobs.py").open("a") as file:
        file.write("# edited\n")
    with deployment.only("yesterday", PYTHONPATH=str(tmp_path)):
        run = deployment.launch(SCENARIOS[0])
        deployment.until("settled", lambda: deployment.settled(run))
    assert deployment.run(run).status is DagsterRunStatus.FAILURE
    assert "Install the same code on every machine" in deployment.messages(run)
