"""This module runs the parts of a deployment as processes: PostgreSQL, code server, webserver and daemon."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.scheduler.instigation import TickStatus

from assets.night import NIGHT_TAG, PARTITION_TAG, WATCH, is_open, runs_of
from cj_pipeline.alerts.night import BEGINS, State, read_night
from cj_pipeline.alerts.outbox import outbox
from cj_pipeline.instance import URL_VARIABLE
from cj_pipeline.local.ports import free_port, listens
from cj_pipeline.local.server import Server, ServerSpec, http_answers
from tests.house import REPOSITORY
from tests.nights.clock import FakeClock
from tests.postgres import PostgresServer

LOCATION = "cj_pipeline"
POLL_S = 0.2
START_S = 240.0

T = TypeVar("T")


class Deployment:
    """Every part is a process of its own under one clock, and can be killed and started again.

    folder: traces/ is there already; home and data are made. settings: variables of every part. now: what the clock
    shows at first.
    """

    def __init__(self, folder: Path, now: datetime, settings: Mapping[str, str]) -> None:
        self.folder, self.data, self.home = folder, folder / "data", folder / "home"
        self.scenarios = sorted(path.name for path in (folder / "traces").iterdir())
        # Not in the folder of a test, which the account of the PostgreSQL server cannot read.
        self._clock_folder = Path(tempfile.mkdtemp(prefix="cj-clock-"))
        self._clock_folder.chmod(0o755)
        self.clock = FakeClock(self._clock_folder / "clock", now)
        self.postgres = PostgresServer({**os.environ, **self.clock.environment})
        self.port, self._code_port = free_port(), free_port()
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(REPOSITORY / "tests/nights/site"), str(REPOSITORY))),
            "PYTHONWARNINGS": "ignore",
            "OPENBLAS_NUM_THREADS": "1",
            "DAGSTER_HOME": str(self.home),
            "CJ_PIPELINE_DATA_DIR": str(self.data),
            "CJ_PIPELINE_TRACES_DIR": str(folder / "traces"),
            URL_VARIABLE: self.postgres.url,
            **settings,
        }
        self._write_home()
        self.code_server = self._server(
            "code server",
            ["api", "grpc", "--module-name", "cj_pipeline.definitions", "--port", str(self._code_port)],
            lambda: listens(self._code_port),
        )
        webserver = ["webserver", "-w", str(folder / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(self.port)]
        self.webserver = self._server(
            "webserver", webserver, lambda: http_answers(self.port, f"http://127.0.0.1:{self.port}/server_info")
        )
        self.daemon = self._daemon("daemon")
        self._first, self._nights = now.date(), 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._clock_folder)
            stack.enter_context(self.postgres)
            for server in (self.code_server, self.webserver, self.daemon):
                stack.enter_context(server)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def second_daemon(self) -> Server:
        """Return another daemon of the same instance, not yet started."""
        return self._daemon("second daemon")

    @contextmanager
    def instance(self) -> Iterator[DagsterInstance]:
        """Open the instance, in this process."""
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(URL_VARIABLE, self.postgres.url)
            environment.setenv("DAGSTER_HOME", str(self.home))
            with DagsterInstance.from_config(str(self.home)) as instance:
                yield instance

    def runs(self, night: date) -> list[DagsterRun]:
        """The runs of a night, the newest first."""
        with self.instance() as instance:
            return list(instance.get_runs(RunsFilter(tags={NIGHT_TAG: night.isoformat()})))

    def run_of(self, night: date, scenario_id: str, *statuses: DagsterRunStatus) -> DagsterRun | None:
        """The newest run of a scenario in a night that has one of these states."""
        found = (run for run in self.runs(night) if run.tags[PARTITION_TAG] == scenario_id and run.status in statuses)
        return next(found, None)

    def worker_of(self, run_id: str) -> int:
        """The process in which a run works."""
        with self.instance() as instance:
            for entry in instance.all_logs(run_id):
                event = entry.dagster_event
                if event is not None and event.is_engine_event and "pid" in event.engine_event_data.metadata:
                    return int(str(event.engine_event_data.metadata["pid"].value))
        raise AssertionError(f"run {run_id} names no process")

    def kill_the_code_server_alone(self) -> None:
        """Kill the code server; the workers of its runs go on."""
        assert self.code_server.pid is not None
        os.kill(self.code_server.pid, signal.SIGKILL)

    def begin_night(self, night: date) -> None:
        """Let it become three o'clock."""
        self.clock.set(datetime.combine(night, BEGINS) - timedelta(seconds=2))

    def turn_back(self, time: timedelta) -> None:
        """Let the clock go back, and start the daemon again: in a round of its loops it would now wait for as long."""
        self.clock.pass_on(-time)
        self.daemon.kill()
        self.daemon.start()

    def have_ended(self, night: date) -> bool:
        """Return whether every scenario has a run in a night, and none is to be tried again."""
        with self.instance() as instance:
            runs = runs_of(instance, night)
        return len(runs) == len(self.scenarios) and not any(map(is_open, runs.values()))

    def concluded(self, night: date) -> dict[str, State]:
        """Wait for every run, let minutes pass until the sensor has concluded the night, and return what came of it."""
        wait_until(lambda: self.have_ended(night), f"the runs of {night} end", self, timeout_s=600.0)

        def look() -> bool:
            if self.have_ended(night):  # and the sensor has not requested a lost one again
                self.clock.pass_on(timedelta(seconds=10))
            return read_night(self.data, night) is not None

        wait_until(look, f"night {night} is concluded", self, timeout_s=600.0)
        wait_until(lambda: not any(kept.waiting for kept in outbox(self.data)), "messages are sent", self)
        found = read_night(self.data, night)
        assert found is not None
        return {one.scenario_id: one.state for one in found.outcomes}

    def has_looked(self) -> None:
        """Return once the sensor has looked for the first time, so that the nights to come are this instance's."""

        wait_until(self._newest_look, "the sensor looks", self)

    def next_night(self) -> date:
        """Return the first night that no test has had."""
        self._nights += 1
        return self._first + timedelta(days=self._nights - 1)

    def look_again(self) -> None:
        """Let time pass until the sensor has looked once more."""
        before = self._newest_look()

        def looked() -> bool:
            self.clock.pass_on(timedelta(seconds=10))
            return self._newest_look() > before

        wait_until(looked, "the sensor looks again", self)

    def _newest_look(self) -> int:
        with self.instance() as instance:
            states = [one for one in instance.all_instigator_state() if one.instigator_name == WATCH]
            ticks = [
                tick
                for one in states
                for tick in instance.get_ticks(one.instigator_origin_id, one.selector_id, limit=5)
            ]
        return max((tick.tick_id for tick in ticks if tick.status is not TickStatus.STARTED), default=0)

    def switch_schedule(self, name: str, *, on: bool) -> None:
        """Switch a schedule on or off, as a person does in the UI."""
        selector = {
            "repositoryLocationName": LOCATION,
            "repositoryName": "__repository__",
            "scheduleName": name,
        }
        if on:
            query = "mutation($it: ScheduleSelector!) { startSchedule(scheduleSelector: $it) { __typename } }"
            found = self.ask(query, it=selector)
        else:
            query = (
                "query($it: ScheduleSelector!) { scheduleOrError(scheduleSelector: $it) "
                "{ ... on Schedule { scheduleState { id } } } }"
            )
            state = self.ask(query, it=selector)["data"]["scheduleOrError"]["scheduleState"]["id"]
            found = self.ask("mutation($id: String!) { stopRunningSchedule(id: $id) { __typename } }", id=state)
        assert "ScheduleStateResult" in str(found), found

    def ask(self, query: str, **variables: object) -> Any:
        """Ask the webserver as the UI does."""
        url = f"http://127.0.0.1:{self.port}/graphql"
        answer = httpx.post(url, json={"query": query, "variables": variables}, timeout=30.0, trust_env=False)
        found = answer.raise_for_status().json()
        assert "errors" not in found, found
        return found

    def words(self) -> str:
        """The ends of all logs, for a test that waited in vain."""
        return "\n".join(server.last_words() for server in (self.code_server, self.webserver, self.daemon))

    def _server(self, name: str, command: list[str], answers: Callable[[], bool]) -> Server:
        program = Path(sys.executable).with_name("dagster")
        first = [str(program), *command] if command[0] == "api" else [f"{program}-{command[0]}", *command[1:]]
        return Server(
            ServerSpec(
                name=name,
                address=name,
                log=self.folder / f"{name.replace(' ', '-')}.log",
                command=lambda: first,
                answers=answers,
                environment={**self.environment, **self.clock.environment},
                folder=self.folder,
                start_timeout_s=START_S,
            )
        )

    def _daemon(self, name: str) -> Server:
        command = ["daemon", "run", "-w", str(self.folder / "workspace.yaml")]
        log = self.folder / f"{name.replace(' ', '-')}.log"
        return self._server(name, command, lambda: "Instance is configured with" in log.read_text(encoding="utf-8"))

    def _write_home(self) -> None:
        self.home.mkdir()
        text = (REPOSITORY / "dagster.yaml").read_text(encoding="utf-8")
        # A test does not wait half a minute for each look at the workers.
        assert "poll_interval_seconds: 30" in text
        text = text.replace("poll_interval_seconds: 30", "poll_interval_seconds: 2")
        (self.home / "dagster.yaml").write_text(text, encoding="utf-8")
        server = {"host": "127.0.0.1", "port": self._code_port, "location_name": LOCATION}
        (self.folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))


def wait_until(found: Callable[[], T | None], what: str, deployment: Deployment, *, timeout_s: float = 240.0) -> T:
    """Return what is found as soon as it is, and fail with the logs of the deployment otherwise."""
    deadline = time.monotonic() + timeout_s
    while True:
        if value := found():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not after {timeout_s:g} s.\n{deployment.words()}")
        time.sleep(POLL_S)
