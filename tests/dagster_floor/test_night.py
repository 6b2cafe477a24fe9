"""This module tests the night in Dagster: what the schedule launches, and when the sensor tells what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    build_schedule_context,
    build_sensor_context,
)

from assets import night as night_module
from assets.night import AGAIN_TAG, NIGHT_TAG, SCHEDULE, night_watch
from assets.partitions import ScenarioPartitions
from cj_pipeline.alerts.conclude import conclude
from cj_pipeline.alerts.night import Night, Outcome, State, first_night, read_night, unusable
from cj_pipeline.alerts.outbox import outbox
from cj_pipeline.alerts.settings import PREFIX
from cj_pipeline.definitions import build_defs, defs, materialise
from cj_pipeline.instance import lps_url
from tests.alerts.receivers import webhook
from tests.dagster_floor.floor import LOWER5, ROUNDTRIP, copied_trace

THREE = datetime(2026, 5, 3, 3, tzinfo=UTC)
NIGHT = THREE.date()


class Clock:
    """The time that the sensor sees."""

    def __init__(self) -> None:
        self.now = THREE + timedelta(minutes=1)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(night_module, "utc_now", clock)
    for name in ("WEBHOOK", "SLACK_WEBHOOK", "EMAIL_TO", "UI_URL"):
        monkeypatch.delenv(f"{PREFIX}{name}", raising=False)
    return clock


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """Two scenarios that can be used, and one that cannot."""
    folder = tmp_path / "traces"
    for scenario_id in (LOWER5, ROUNDTRIP):
        copied_trace(scenario_id, folder)
    broken = folder / "broken"
    broken.mkdir()
    (broken / "scenario.yaml").write_text("schema_version: 1\n")
    return folder


class Watch:
    """The sensor, tick by tick, with the cursor of the tick before."""

    def __init__(self, instance: DagsterInstance, traces: Path, data: Path) -> None:
        self.sensor: SensorDefinition = night_watch(ScenarioPartitions(traces), data, str(data))
        self.instance, self.traces, self.data = instance, traces, data
        self.cursor: str | None = None

    def __call__(self) -> str:
        """Tick, and return what it says."""
        context = build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = self.sensor.evaluate_tick(context)
        self.cursor = result.cursor
        return result.skip_message or ""

    def requests(self) -> list[RunRequest]:
        """Tick, and return the runs that it requests."""
        made = build_defs(traces_dir=self.traces).get_repository_def()
        context = build_sensor_context(instance=self.instance, cursor=self.cursor, repository_def=made)
        result = self.sensor.evaluate_tick(context)
        self.cursor = result.cursor
        return list(result.run_requests or [])

    def night(self) -> Night:
        """What was concluded."""
        found = read_night(self.data, NIGHT)
        assert found is not None
        return found


@pytest.fixture
def watch(instance: DagsterInstance, traces: Path, tmp_path: Path, clock: Clock) -> Watch:
    return Watch(instance, traces, tmp_path / "data")


def run(
    instance: DagsterInstance, scenario_id: str, status: DagsterRunStatus, *, again: bool = False, **tags: str
) -> DagsterRun:
    """Add a run of the night as the schedule requests it. again: as the sensor does, for a lost one."""
    named = {NIGHT_TAG: NIGHT.isoformat(), "dagster/partition": scenario_id}
    more = {name.replace("_", "/", 1): value for name, value in tags.items()} | ({AGAIN_TAG: "true"} if again else {})
    ids = {f"{name}_run_id": more.get(f"dagster/{name}_run_id") for name in ("parent", "root")}
    return instance.add_run(DagsterRun(job_name="parity_all", status=status, tags={**named, **more}, **ids))


def test_the_schedule_launches_every_usable_scenario_and_tags_its_run(traces: Path) -> None:
    schedule = build_defs(traces_dir=traces).resolve_schedule_def("parity_nightly")
    with DagsterInstance.ephemeral() as instance:
        tick = build_schedule_context(
            instance, repository_def=build_defs(traces_dir=traces).get_repository_def(), scheduled_execution_time=THREE
        )
        requests = schedule.evaluate_tick(tick).run_requests or []
    assert [request.partition_key for request in requests] == [ROUNDTRIP, LOWER5]
    assert {request.tags[NIGHT_TAG] for request in requests} == {"2026-05-03"}


def test_the_schedule_names_the_deployed_lps_of_a_scenario_which_the_queue_limits(
    traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_NIGHT_LPS", f"{LOWER5}=http://lps:8080")
    made = build_defs(traces_dir=traces)
    with DagsterInstance.ephemeral() as instance:
        tick = build_schedule_context(
            instance, repository_def=made.get_repository_def(), scheduled_execution_time=THREE
        )
        requests = made.resolve_schedule_def("parity_nightly").evaluate_tick(tick).run_requests or []
    assert {request.partition_key: lps_url(request.run_config) for request in requests} == {
        LOWER5: "http://lps:8080",
        ROUNDTRIP: "",
    }


def test_the_sensor_runs_by_default() -> None:
    sensor = defs.get_repository_def().get_sensor_def("night_watch")
    assert sensor.default_status is DefaultSensorStatus.RUNNING


def test_an_instance_that_begins_after_three_does_not_answer_for_that_night(watch: Watch, clock: Clock) -> None:
    assert watch() == "The night of 2026-05-03 began before this instance did."
    clock.now = THREE + timedelta(hours=20)
    assert watch() == "The night of 2026-05-03 began before this instance did."
    assert first_night(watch.data) == NIGHT + timedelta(days=1)  # which `alerts check` asks for
    watch.cursor = None  # another instance, on the same folder
    clock.now = THREE + timedelta(days=3)
    watch()
    assert first_night(watch.data) == NIGHT + timedelta(days=1)


def test_it_waits_for_every_run_and_tells_once(
    watch: Watch, instance: DagsterInstance, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(instance, LOWER5, DagsterRunStatus.FAILURE)
    run(instance, ROUNDTRIP, DagsterRunStatus.STARTED)
    with webhook() as hook:
        monkeypatch.setenv(f"{PREFIX}WEBHOOK", hook.url)
        assert watch() == "The night of 2026-05-03: 1 of 2 have not ended."
        run(instance, ROUNDTRIP, DagsterRunStatus.FAILURE)
        assert "3 of 3 scenarios not as expected" in watch()
        assert watch() == "The night of 2026-05-03 has been told."
    ((_, body),) = hook.got
    assert {note["scenario"]: note["state"] for note in body["scenarios"]} == {
        LOWER5: "broke off",
        ROUNDTRIP: "broke off",
        "broken": "cannot be used",
    }


def test_a_run_that_is_about_to_be_tried_again_has_not_ended(watch: Watch, instance: DagsterInstance) -> None:
    run(instance, LOWER5, DagsterRunStatus.FAILURE, dagster_will_retry="true")
    run(instance, ROUNDTRIP, DagsterRunStatus.SUCCESS)
    assert watch() == "The night of 2026-05-03: 1 of 2 have not ended."
    run(instance, LOWER5, DagsterRunStatus.SUCCESS)
    assert "1 of 3 scenarios not as expected: broken" in watch()


def test_a_night_that_did_not_run_is_noticed(watch: Watch, clock: Clock) -> None:
    clock.now = THREE - timedelta(hours=1)
    watch()  # the day before: the instance was there
    clock.now = THREE + timedelta(hours=1)
    assert watch() == "The night of 2026-05-03: 2 of 2 have not ended."
    clock.now = THREE + timedelta(hours=2)
    watch()
    clock.now += timedelta(minutes=9)
    assert watch() == "The night of 2026-05-03: 2 of 2 have not ended."
    clock.now += timedelta(minutes=1)
    assert "3 of 3 scenarios not as expected" in watch()
    assert {one.state for one in watch.night().outcomes} == {State.DID_NOT_RUN, State.UNUSABLE}
    (kept,) = outbox(watch.data)
    assert any("is the Dagster daemon running" in line for line in kept.alert.lines)


def test_a_run_that_hangs_keeps_nobody_waiting(watch: Watch, instance: DagsterInstance, clock: Clock) -> None:
    run(instance, LOWER5, DagsterRunStatus.STARTED)
    run(instance, ROUNDTRIP, DagsterRunStatus.SUCCESS)
    clock.now = THREE + timedelta(hours=3)
    watch()
    clock.now += timedelta(minutes=10)
    watch()
    states = {one.scenario_id: one.state for one in watch.night().outcomes}
    assert states == {LOWER5: State.DID_NOT_END, ROUNDTRIP: State.AS_EXPECTED, "broken": State.UNUSABLE}


def test_a_night_that_a_command_has_told_is_told_again_where_the_daemon_s_runs_differ(
    watch: Watch, instance: DagsterInstance, clock: Clock
) -> None:
    clock.now = THREE - timedelta(hours=1)
    watch()
    # By hand, at two: the date of the night that is to come.
    green = [
        Outcome(scenario_id=name, state=State.AS_EXPECTED, run_id=f"by-hand-{name}") for name in (LOWER5, ROUNDTRIP)
    ]
    conclude(watch.data, NIGHT, [*green, unusable("broken", "scenario.yaml")], {}, clock.now)
    clock.now = THREE + timedelta(minutes=1)
    assert watch() == "The night of 2026-05-03 has been told."
    run(instance, LOWER5, DagsterRunStatus.STARTED)
    assert watch() == "The night of 2026-05-03: 1 of 2 have not ended."
    run(instance, LOWER5, DagsterRunStatus.FAILURE)
    assert "2 of 3 scenarios not as expected" in watch()
    assert watch() == "The night of 2026-05-03 has been told."
    states = {one.scenario_id: (one.state, one.run_id) for one in watch.night().outcomes}
    assert states[ROUNDTRIP] == (State.AS_EXPECTED, f"by-hand-{ROUNDTRIP}")  # which the daemon did not run
    assert states[LOWER5][0] is State.BROKE_OFF


def test_what_ends_after_it_was_told_as_late_is_told(watch: Watch, instance: DagsterInstance, clock: Clock) -> None:
    run(instance, ROUNDTRIP, DagsterRunStatus.SUCCESS)
    late = run(instance, LOWER5, DagsterRunStatus.STARTED)
    for minutes in (180, 190):
        clock.now = THREE + timedelta(minutes=minutes)
        watch()
    assert watch() == "The night of 2026-05-03 has been told."
    instance.report_run_canceled(late)
    watch()
    assert {one.state for one in watch.night().outcomes if one.scenario_id == LOWER5} == {State.BROKE_OFF}
    assert watch() == "The night of 2026-05-03 has been told."


def test_a_run_that_was_lost_and_not_tried_again_is_requested_once(
    watch: Watch, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_NIGHT_LPS", f"{LOWER5}=http://lps:8080")
    run(instance, ROUNDTRIP, DagsterRunStatus.FAILURE, dagster_failure_reason="STEP_FAILURE")
    run(
        instance,
        LOWER5,
        DagsterRunStatus.FAILURE,
        dagster_schedule_name=SCHEDULE,
        dagster_failure_reason="START_TIMEOUT",
    )
    for _ in range(2):  # the same key, which Dagster launches once
        (request,) = watch.requests()
        assert (request.run_key, request.partition_key) == (f"2026-05-03/{LOWER5}/again", LOWER5)
        assert (request.tags[NIGHT_TAG], request.tags[AGAIN_TAG]) == ("2026-05-03", "true")
        assert lps_url(request.run_config) == "http://lps:8080"
    run(instance, LOWER5, DagsterRunStatus.FAILURE, again=True)
    assert watch.requests() == []
    assert {one.state for one in watch.night().outcomes} == {State.BROKE_OFF, State.UNUSABLE}


def test_a_deployed_lps_for_a_scenario_that_is_not_there_is_told(
    watch: Watch, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_NIGHT_LPS", f"{LOWER5}=http://lps:8080,{ROUNDTRIP}x=http://lps:8080")
    for scenario_id in (LOWER5, ROUNDTRIP):
        run(instance, scenario_id, DagsterRunStatus.SUCCESS)
    watch()
    (told,) = (one for one in watch.night().outcomes if one.scenario_id == f"{ROUNDTRIP}x")
    assert told.state is State.UNUSABLE
    assert told.sentences[0].startswith(
        f"CJ_PIPELINE_NIGHT_LPS names '{ROUNDTRIP}x', and there is no such scenario. Did you mean '{ROUNDTRIP}'?"
    )


def test_settings_that_keep_a_night_from_being_launched_are_told(
    watch: Watch, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_NIGHT_LPS", "autumn")
    for minutes in (-60, 120, 131):
        clock.now = THREE + timedelta(minutes=minutes)
        watch()
    told = {one.scenario_id: one for one in watch.night().outcomes}
    assert (told[LOWER5].state, told["CJ_PIPELINE_NIGHT_*"].state) == (State.DID_NOT_RUN, State.UNUSABLE)
    assert "not of the form scenario=URL" in told["CJ_PIPELINE_NIGHT_*"].sentences[0]


def test_a_run_that_was_lost_is_told_and_not_requested_once_the_night_is_over(
    watch: Watch, instance: DagsterInstance, clock: Clock
) -> None:
    run(instance, ROUNDTRIP, DagsterRunStatus.SUCCESS)
    run(instance, LOWER5, DagsterRunStatus.FAILURE, dagster_schedule_name=SCHEDULE)
    clock.now = THREE + timedelta(hours=2)
    assert "2 of 3 scenarios not as expected" in watch()


def test_a_worker_that_died_is_told_with_its_signal(watch: Watch, instance: DagsterInstance) -> None:
    run(instance, ROUNDTRIP, DagsterRunStatus.SUCCESS)
    died = run(instance, LOWER5, DagsterRunStatus.STARTED)
    instance.report_engine_event("Started process for run", died)
    said = f"Run execution process for {died.run_id} was terminated by signal 9 (SIGKILL)."
    instance.report_engine_event(said, died, cls=DagsterInstance)  # Dagster puts the class before it
    instance.report_run_failed(died)
    watch()
    (found,) = (one for one in watch.night().outcomes if one.scenario_id == LOWER5)
    assert found.sentences == ("run: Run execution process was terminated by signal 9 (SIGKILL).",)


def test_a_run_that_a_person_executed_again_is_not_of_the_night(watch: Watch, instance: DagsterInstance) -> None:
    for scenario_id in (LOWER5, ROUNDTRIP):
        run(instance, scenario_id, DagsterRunStatus.SUCCESS)
    watch()
    told = watch.night()
    run(instance, LOWER5, DagsterRunStatus.FAILURE, dagster_parent_run_id="r", dagster_root_run_id="r")
    assert watch() == "The night of 2026-05-03 has been told."
    assert watch.night() == told


def test_a_scenario_that_is_spoilt_after_its_run_is_told_once(
    watch: Watch, instance: DagsterInstance, traces: Path
) -> None:
    for scenario_id in (LOWER5, ROUNDTRIP):
        run(instance, scenario_id, DagsterRunStatus.SUCCESS)
    (traces / LOWER5 / "scenario.yaml").write_text("schema_version: 1\n")
    watch()
    assert watch() == "The night of 2026-05-03 has been told."


def test_a_clock_that_goes_back_in_a_night_keeps_no_message_back(
    watch: Watch, instance: DagsterInstance, clock: Clock
) -> None:
    run(instance, LOWER5, DagsterRunStatus.STARTED)
    clock.now = THREE + timedelta(hours=2, minutes=1)
    watch()  # late, by a clock that is an hour ahead
    clock.now -= timedelta(hours=1)
    for _ in range(2):
        assert watch() == "The night of 2026-05-03: 2 of 2 have not ended."
    clock.now -= timedelta(hours=2)  # before three: the night before, which this instance did not see
    assert watch() == "The night of 2026-05-02 began before this instance did."
    clock.now = THREE + timedelta(hours=2, minutes=5)
    watch()
    clock.now += timedelta(minutes=9)
    assert (
        watch() == "The night of 2026-05-03: 2 of 2 have not ended."
    )  # ten minutes from the second look, not the first
    clock.now += timedelta(minutes=1)
    assert "3 of 3 scenarios not as expected" in watch()


def test_a_clock_that_is_a_day_ahead_calls_a_night_missing_and_the_night_is_told_when_it_comes(
    watch: Watch, instance: DagsterInstance, clock: Clock
) -> None:
    clock.now = THREE - timedelta(hours=10)
    watch()
    for minutes in (130, 141):  # ahead
        clock.now = THREE + timedelta(minutes=minutes)
        watch()
    assert {one.state for one in watch.night().outcomes} == {State.DID_NOT_RUN, State.UNUSABLE}
    clock.now = THREE - timedelta(hours=9)  # and put right
    watch()
    clock.now = THREE + timedelta(minutes=20)
    for scenario_id in (LOWER5, ROUNDTRIP):
        run(instance, scenario_id, DagsterRunStatus.SUCCESS)
    assert "1 of 3 scenarios not as expected: broken" in watch()
    assert len(outbox(watch.data)) == 2
    recovered = [{note.scenario for note in kept.alert.scenarios if note.recovered} for kept in outbox(watch.data)]
    assert {LOWER5, ROUNDTRIP} in recovered


def test_how_late_a_night_was_does_not_count_for_the_next(
    watch: Watch, instance: DagsterInstance, clock: Clock
) -> None:
    watch()
    clock.now = THREE + timedelta(days=1, hours=2, minutes=1)
    watch()
    clock.now += timedelta(days=1)  # nobody looked for a day
    words = "The night of 2026-05-05: 2 of 2 have not ended."
    assert watch() == words
    clock.now += timedelta(minutes=9)
    assert watch() == words


def test_real_runs_are_told_with_their_gates_and_their_causes(
    watch: Watch, instance: DagsterInstance, traces: Path, tmp_path: Path
) -> None:
    scenario = traces / LOWER5 / "scenario.yaml"
    text = scenario.read_text()
    scenario.write_text(text.replace("mode: eng5_lower5_gpt51_low", "mode: eng5_lower5_gpt51_low+inverted"))
    callbacks = traces / ROUNDTRIP / "llm_callbacks.jsonl"
    callbacks.write_bytes(callbacks.read_bytes() + b"\n")  # edited after it was recorded
    options = {"night": NIGHT, "data_dir": tmp_path / "data", "traces_dir": traces, "instance": instance}
    direct = {one.scenario_id: one.outcome for one in materialise([LOWER5, ROUNDTRIP], **options)}  # type: ignore[arg-type]
    watch()
    found = {one.scenario_id: one for one in watch.night().outcomes}
    inverted, edited = found[LOWER5], found[ROUNDTRIP]
    # Its first published run, which was red, is of now; no night is told a date after it.
    assert (inverted.state, inverted.since) == (State.NOT_AS_EXPECTED, min(datetime.now(UTC).date(), NIGHT))
    assert inverted.words.startswith("NO PARITY, ")
    assert any(sentence.startswith("rank_agreement: -1 tau-b live") for sentence in inverted.sentences)
    assert edited.state is State.BROKE_OFF
    assert any("trace: checksums" in sentence for sentence in edited.sentences)
    # The command and the sensor say the same of a run.
    for scenario_id, one in direct.items():
        assert found[scenario_id].model_copy(update={"since": None}) == one


def test_the_suite_is_stale_when_a_night_is_missing() -> None:
    (spec,) = (spec for spec in defs.resolve_all_asset_specs() if spec.key == AssetKey(["parity", "suite"]))
    policy = spec.freshness_policy
    assert policy is not None
    assert (policy.deadline_cron, policy.timezone) == ("0 5 * * *", "UTC")  # type: ignore[attr-defined]
