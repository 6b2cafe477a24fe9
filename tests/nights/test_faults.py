"""This module kills and stops each part of one deployment in the middle of a night, and turns its clock.

Each test has a night of its own. Nothing may be lost, no verdict may be wrong, and what cannot be mended is told.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from dagster import DagsterRun, DagsterRunStatus, RunsFilter

from assets.night import NIGHT_TAG, is_open
from cj_pipeline.alerts.night import BEGINS, State, read_night
from cj_pipeline.parity.history.history import load_history
from tests.alerts.receivers import Hook, webhook
from tests.dagster_floor.folders import recording
from tests.nights.deployment import Deployment, wait_until

pytestmark = [pytest.mark.servers("faketime", "postgresql"), pytest.mark.timeout(1800)]

DAY = timedelta(days=1)
GOOD = {"autumn": State.AS_EXPECTED, "winter": State.AS_EXPECTED}
STARTED, SUCCESS, FAILURE = DagsterRunStatus.STARTED, DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE

COMMAND = "from cj_pipeline.cli.main import main; main()"


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    with webhook() as found:
        yield found


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, hook: Hook) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("nights")
    for name in GOOD:
        recording(folder / "traces", name)
    settings = {"CJ_PIPELINE_ALERT_WEBHOOK": hook.url}
    with Deployment(folder, datetime(2027, 1, 1, 2, 55, tzinfo=UTC), settings) as made:
        made.has_looked()
        yield made


@pytest.fixture
def night(deployment: Deployment, hook: Hook) -> date:
    """A night that has begun, the next of this deployment; nothing has been told of it."""
    found = deployment.next_night()
    deployment.begin_night(found)
    hook.got.clear()
    return found


def started(deployment: Deployment, night: date) -> DagsterRun:
    """A run of the night in the middle of its work."""

    def look() -> DagsterRun | None:
        return next((run for run in deployment.runs(night) if run.status is STARTED and has_begun(run)), None)

    def has_begun(run: DagsterRun) -> bool:
        return any(deployment.data.glob(f"runs/{run.run_id}/*/callbacks/*.parquet"))

    return wait_until(look, f"a run of {night} works", deployment)


def states(deployment: Deployment, night: date, scenario_id: str) -> list[DagsterRunStatus]:
    """What the attempts of a scenario came to, the first one first."""
    runs = [run for run in deployment.runs(night) if run.tags["dagster/partition"] == scenario_id]
    return [run.status for run in reversed(runs)]


def red(hook: Hook) -> dict[str, str]:
    """What arrived of each scenario, but for those that are as expected again: the night before may have been red."""
    return {
        note["scenario"]: note["state"] for _, body in hook.got for note in body["scenarios"] if not note["recovered"]
    }


def test_a_night_outlives_its_webserver(deployment: Deployment, night: date, hook: Hook) -> None:
    started(deployment, night)
    deployment.webserver.kill()
    assert deployment.concluded(night) == GOOD
    assert red(hook) == {}
    deployment.webserver.start()
    assert deployment.ask("{ runsOrError(limit: 1) { __typename } }")


def test_a_worker_that_is_killed_is_replaced(deployment: Deployment, night: date, hook: Hook) -> None:
    run = started(deployment, night)
    os.kill(deployment.worker_of(run.run_id), signal.SIGKILL)
    assert deployment.concluded(night) == GOOD
    assert states(deployment, night, run.tags["dagster/partition"]) == [FAILURE, SUCCESS]
    assert red(hook) == {}


def test_a_scenario_whose_workers_die_again_and_again_is_told_with_the_cause(
    deployment: Deployment, night: date, hook: Hook
) -> None:
    first = started(deployment, night)
    scenario_id = first.tags["dagster/partition"]
    os.kill(deployment.worker_of(first.run_id), signal.SIGKILL)

    def second() -> DagsterRun | None:
        found = deployment.run_of(night, scenario_id, STARTED)
        return None if found is None or found.run_id == first.run_id else found

    os.kill(deployment.worker_of(wait_until(second, "it is tried again", deployment).run_id), signal.SIGKILL)
    assert deployment.concluded(night) == {**GOOD, scenario_id: State.BROKE_OFF}
    assert states(deployment, night, scenario_id) == [FAILURE, FAILURE]
    assert red(hook) == {scenario_id: "broke off"}
    (note,) = (note for _, body in hook.got for note in body["scenarios"] if not note["recovered"])
    assert note["sentences"][0].startswith("run: Run execution process was terminated by signal 9 (SIGKILL).")


def test_the_next_night_tells_that_it_has_recovered(deployment: Deployment, night: date, hook: Hook) -> None:
    assert deployment.concluded(night) == GOOD
    ((_, body),) = hook.got
    assert [(note["state"], note["recovered"]) for note in body["scenarios"]] == [("as expected", True)]


def test_a_run_outlives_a_code_server_that_is_killed_alone(deployment: Deployment, night: date, hook: Hook) -> None:
    run = started(deployment, night)
    deployment.kill_the_code_server_alone()
    wait_until(lambda: deployment.run_of(night, run.tags["dagster/partition"], SUCCESS), "it goes on", deployment)
    deployment.code_server.start()
    assert deployment.concluded(night) == GOOD
    assert states(deployment, night, run.tags["dagster/partition"]) == [SUCCESS]
    assert red(hook) == {}


def test_runs_that_die_with_their_code_server_are_launched_again(
    deployment: Deployment, night: date, hook: Hook
) -> None:
    run = started(deployment, night)
    deployment.code_server.kill()  # and the workers, which are of its group
    deployment.code_server.start()
    assert deployment.concluded(night) == GOOD
    assert states(deployment, night, run.tags["dagster/partition"]) == [FAILURE, SUCCESS]
    assert red(hook) == {}


def test_a_restart_of_the_database_makes_no_verdict_wrong_and_loses_nothing(
    deployment: Deployment, night: date, hook: Hook
) -> None:
    started(deployment, night)
    deployment.postgres.stop()
    deployment.postgres.start()
    found = deployment.concluded(night)
    # A run that was writing an event in that moment breaks off; one that began to afterwards has waited.
    assert set(found.values()) <= {State.AS_EXPECTED, State.BROKE_OFF}
    assert red(hook) == {name: state.value for name, state in found.items() if state is State.BROKE_OFF}


def test_two_daemons_and_a_command_make_one_message_of_a_night(deployment: Deployment, night: date, hook: Hook) -> None:
    scenario = deployment.folder / "traces/autumn/scenario.yaml"
    right = scenario.read_text(encoding="utf-8")
    scenario.write_text(right.replace("mode: eng5_lower5_gpt51_low", "mode: eng5_lower5_gpt51_low+inverted"))
    before = {check.check: check.nights for check in history(deployment, "winter")}
    command = [sys.executable, "-c", COMMAND, "nightly", "--night", night.isoformat()]
    environment = {**deployment.environment, **deployment.clock.environment}
    beside = [
        subprocess.Popen(command, cwd=deployment.folder, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)
    ]
    with deployment.second_daemon():
        assert [process.wait(600) for process in beside] == [1, 1]
        expected = {**GOOD, "autumn": State.NOT_AS_EXPECTED}
        assert deployment.concluded(night) == expected
        wait_until(lambda: told_of_newest(deployment, night), "the sensor has seen every run", deployment)
    assert deployment.concluded(night) == expected
    assert red(hook) == {"autumn": "not as expected"}
    assert len(hook.got) == 1
    # Three runs of one night are one piece of evidence: they have the same seed.
    assert {check.check: check.nights for check in history(deployment, "winter")} == {
        name: number + 1 for name, number in before.items()
    }
    scenario.write_text(right, encoding="utf-8")


def history(deployment: Deployment, scenario_id: str) -> tuple[object, ...]:
    found = load_history(deployment.data, scenario_id)
    assert found is not None
    return tuple(check for check in found.checks if check.mean is not None)


def told_of_newest(deployment: Deployment, night: date) -> bool:
    """Whether what was told is of the newest run of each scenario, with every run over."""
    with deployment.instance() as instance:
        records = instance.get_run_records(RunsFilter(tags={NIGHT_TAG: night.isoformat()}))
    deployment.clock.pass_on(timedelta(seconds=0 if any(map(is_open, records)) else 10))
    told = read_night(deployment.data, night)
    newest = {record.dagster_run.tags["dagster/partition"]: record.dagster_run for record in reversed(records)}
    return told is not None and all(
        one.run_id in (newest[one.scenario_id].run_id, newest[one.scenario_id].root_run_id) for one in told.outcomes
    )


def test_a_clock_that_goes_back_in_a_night_loses_nothing_and_repeats_nothing(
    deployment: Deployment, night: date, hook: Hook
) -> None:
    started(deployment, night)
    deployment.turn_back(timedelta(hours=1))
    wait_until(lambda: deployment.have_ended(night), "the runs end", deployment)
    deployment.clock.pass_on(timedelta(hours=1))
    assert deployment.concluded(night) == GOOD
    assert len(deployment.runs(night)) == 2
    assert red(hook) == {}
    assert len(hook.got) <= 1  # the night before was red


def test_a_clock_that_is_a_day_ahead_for_a_while_runs_the_next_night_early_and_once(
    deployment: Deployment, night: date, hook: Hook
) -> None:
    assert deployment.concluded(night) == GOOD
    after = deployment.next_night()
    deployment.clock.pass_on(DAY)
    assert deployment.concluded(after) == GOOD
    deployment.turn_back(DAY)
    deployment.begin_night(after)
    deployment.look_again()
    assert len(deployment.runs(after)) == 2
    assert red(hook) == {}


def test_a_night_that_did_not_run_is_told(deployment: Deployment, hook: Hook) -> None:
    night = deployment.next_night()
    hook.got.clear()
    deployment.switch_schedule("parity_nightly", on=False)
    deployment.clock.set(datetime.combine(night, BEGINS) + timedelta(hours=2, seconds=5))
    deployment.look_again()
    assert red(hook) == {}
    deployment.clock.pass_on(timedelta(minutes=11))
    wait_until(lambda: hook.got, "the message", deployment)
    ((_, body),) = hook.got
    assert {note["state"] for note in body["scenarios"]} == {"did not run"}
    assert "is the Dagster daemon running" in body["text"]
    deployment.switch_schedule("parity_nightly", on=True)


def test_a_code_server_outlives_a_database_that_is_away_for_long(
    deployment: Deployment, night: date, hook: Hook
) -> None:
    run = started(deployment, night)
    worker = deployment.worker_of(run.run_id)
    deployment.postgres.stop()
    os.kill(worker, signal.SIGKILL)
    log = deployment.folder / "code-server.log"
    said = "could not be looked after"
    wait_until(lambda: said in log.read_text(encoding="utf-8"), "the storage is given up once", deployment)
    deployment.postgres.start()
    for server in (deployment.webserver, deployment.daemon):
        server.start()  # where it has ended: what watches over a deployment does
    assert deployment.concluded(night) == GOOD
    assert states(deployment, night, run.tags["dagster/partition"]) == [FAILURE, SUCCESS]
    assert red(hook) == {}
    # And it still ends when it is asked to.
    assert deployment.code_server.pid is not None
    os.kill(deployment.code_server.pid, signal.SIGTERM)
    wait_until(lambda: deployment.code_server.exit_code is not None, "the code server ends", deployment)
    assert deployment.code_server.exit_code == 0
