"""This module declares the night: the schedule that launches it, and the sensor that tells what came of it.

The schedule gives each usable scenario a run of its own, tagged with the night. The sensor waits until all of them have
ended, at most two hours, and then concludes the night: one message, or none where all is as expected. It also finds a
night that never began. A scenario that cannot be used has no run, and is named in the message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunRecord,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    schedule,
    sensor,
)
from dagster._core.events import RunFailureReason

from assets.jobs import ALL_JOB
from assets.outcome import TELLING, Events, outcome_of
from assets.partitions import ScenarioPartitions
from cj_pipeline.alerts.channels import channels_of
from cj_pipeline.alerts.conclude import conclude
from cj_pipeline.alerts.night import Night, Outcome, State, due_night, is_over, note_first_night, read_night, unusable
from cj_pipeline.alerts.night_settings import PREFIX, night_settings
from cj_pipeline.alerts.outbox import send_waiting
from cj_pipeline.alerts.settings import alert_settings
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.versions import NewerVersion
from cj_pipeline.traces.arrivals import arrivals
from cj_pipeline.warehouse.data_root import data_root
from cj_pipeline.warehouse.run_folder import RunFolder
from resources.warehouse import folder_run_id

SCHEDULE, WATCH = "parity_nightly", "night_watch"

NIGHT_TAG = "cj_pipeline/night"
"""Run tag: the date of the night that the run is part of."""

GRACE = timedelta(minutes=10)
"""After a look that finds a night late: a daemon that was away launches what it missed, and that may still run."""

PARTITION_TAG = "dagster/partition"
WILL_RETRY_TAG = "dagster/will_retry"
SCHEDULE_TAG, REASON_TAG = "dagster/schedule_name", "dagster/failure_reason"
AGAIN_TAG = "cj_pipeline/again"
"""Run tag: the sensor requested the run, since the one before it was lost and Dagster did not try it again."""

PARENT_TAG, RETRY_NUMBER_TAG = "dagster/parent_run_id", "dagster/retry_number"


def night_tags(night: date) -> Mapping[str, str]:
    """Return the tags of a run of a night."""
    return {NIGHT_TAG: night.isoformat()}


def night_lps(night: date, url: str | None) -> dict[str, str]:
    """Return the configuration of the LPS in a night. url: of a deployed one; None for the embedded one."""
    return {"night": night.isoformat(), **({} if url is None else {"url": url})}


def nightly_schedule(scenarios: ScenarioPartitions) -> ScheduleDefinition:
    """Declare the run of every usable scenario, every night."""

    # Running by default: people forget to switch a nightly check on. It costs seconds of
    # one processor and no key: the live side is the mock.
    @schedule(
        name=SCHEDULE,
        job_name=ALL_JOB,
        cron_schedule="0 3 * * *",
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description="Parity of every usable scenario at 03:00 UTC, one run each, with the date as the mock's seed.",
    )
    def parity_nightly(context: ScheduleEvaluationContext) -> Iterator[RunRequest]:
        night, deployed = context.scheduled_execution_time.date(), night_settings().lps
        found = arrivals(scenarios.traces_dir, {})
        for scenario_id, place in found.broken.items():
            context.log.warning(f"{scenario_id} cannot be used ({place}), and is not run")
        for scenario_id in found.new:
            # With a key, a tick that is evaluated twice launches once.
            yield _request(night, scenario_id, deployed.get(scenario_id), key=f"{night}/{scenario_id}")

    return parity_nightly


def _request(night: date, scenario_id: str, url: str | None, *, key: str, **tags: str) -> RunRequest:
    return RunRequest(
        run_key=key,
        partition_key=scenario_id,
        run_config={"resources": {"lps": {"config": night_lps(night, url)}}},
        tags={**night_tags(night), **tags},
    )


def night_watch(scenarios: ScenarioPartitions, data_dir: Path, datasets: str) -> SensorDefinition:
    """Declare the sensor that concludes a night and sends its message, and those that could not be sent before.

    data_dir: of nights and messages, on the machine of the daemon; datasets: where runs are, maybe on object storage.
    """

    @sensor(
        name=WATCH,
        job_name=ALL_JOB,
        minimum_interval_seconds=60,
        default_status=DefaultSensorStatus.RUNNING,
        description="Tells, once a night, which scenarios are not as expected, since when, and which have recovered; "
        "also when the night did not run. Where to: CJ_PIPELINE_ALERT_* (docs/nightly.md).",
    )
    def watch(context: SensorEvaluationContext) -> SensorResult:
        now, settings = utc_now(), alert_settings()
        channels = channels_of(settings)
        for problem in send_waiting(data_dir, channels, now):
            context.log.warning(problem)
        night = due_night(now)
        runs = runs_of(context.instance, night)
        memory = _Memory.read(context.cursor, night, now)
        if runs and memory.before >= night:  # the very first look was while they were being launched
            memory = replace(memory, before=night - timedelta(days=1))
        if night <= memory.before:
            with suppress(OSError):  # on a full disk: `alerts check` then calls this night missing
                note_first_night(data_dir, night + timedelta(days=1))
            return _skip(f"The night of {night} began before this instance did.", memory)
        found = arrivals(scenarios.traces_dir, {})
        if not found.present:  # a folder that is not mounted, say: nothing is as expected there
            return _skip(f"{scenarios.traces_dir} holds no scenario: the night of {night} is not concluded.", memory)
        try:
            told = read_night(data_dir, night)
        except NewerVersion:
            return _skip(f"A newer program has told the night of {night}.", replace(memory, late_since=None))
        if told is not None and not _is_news(told, {name: runs[name] for name in found.new if name in runs}):
            return _skip(f"The night of {night} has been told.", replace(memory, late_since=None))
        # What a command has told of a scenario that has no run here stays.
        known = {} if told is None else {one.scenario_id: one for one in told.outcomes if one.run_id}
        open_runs = [name for name in found.new if (is_open(runs[name]) if name in runs else name not in known)]
        if open_runs:
            if is_over(night, now) and memory.late_since is None:
                memory = replace(memory, late_since=now)
            if memory.late_since is None or now - memory.late_since < GRACE:
                words = f"The night of {night}: {len(open_runs)} of {len(found.new)} have not ended."
                return _skip(words, memory)
        lost = [name for name in found.new if name in runs and is_lost(runs[name])]
        if lost and not is_over(night, now):
            deployed = night_settings().lps
            again = [
                _request(night, name, deployed.get(name), key=f"{night}/{name}/again", **{AGAIN_TAG: "true"})
                for name in lost
            ]
            return SensorResult(run_requests=again, cursor=memory.written())
        outcomes = [
            *(
                known[name] if name in known and name not in runs else _outcome(context.instance, datasets, name, run)
                for name, run in ((name, runs.get(name)) for name in found.new)
            ),
            *(unusable(name, place) for name, place in found.broken.items()),
            *_unusable_settings(found.present),
        ]
        alert, problems = conclude(
            data_dir, night, outcomes, channels, now, ui_url=settings.ui_url, datasets=data_root(datasets)
        )
        for problem in problems:
            context.log.warning(problem)
        return _skip(
            f"The night of {night}: {'all as expected' if alert is None else alert.subject}.",
            replace(memory, late_since=None),
        )

    return watch


def runs_of(instance: DagsterInstance, night: date) -> dict[str, RunRecord]:
    """Return the newest run of each scenario in a night: a run that was tried again is the last attempt.

    A run that a person executed again, perhaps under another configuration, has the tags of a night and is not of it.
    """
    found: dict[str, RunRecord] = {}
    for record in instance.get_run_records(RunsFilter(tags=dict(night_tags(night)))):  # the newest first
        tags = record.dagster_run.tags
        by_a_person = PARENT_TAG in tags and RETRY_NUMBER_TAG not in tags
        if PARTITION_TAG in tags and not by_a_person:
            found.setdefault(tags[PARTITION_TAG], record)
    return found


def _is_news(told: Night, runs: Mapping[str, RunRecord]) -> bool:
    """Return whether runs of a night that has been told are newer than what was told, or have ended since.

    A command concludes a night whose runs the daemon launches later; a clock that was ahead called a night missing.
    """

    def is_new(record: RunRecord, one: Outcome | None) -> bool:
        run = record.dagster_run
        # An attempt that went on with the files of the first one is told by the id of that one.
        if one is None or one.run_id not in (run.run_id, run.root_run_id):
            return True
        return one.state is State.DID_NOT_END and not is_open(record)

    return any(is_new(record, told.of(scenario_id)) for scenario_id, record in runs.items())


def is_open(record: RunRecord) -> bool:
    """Return whether a run has not ended, or is about to be tried again."""
    run = record.dagster_run
    retried = run.status is DagsterRunStatus.FAILURE and run.tags.get(WILL_RETRY_TAG) == "true"
    return not run.is_finished or retried


def is_lost(record: RunRecord) -> bool:
    """Return whether a machine is at fault for the end of a run, and nothing has tried it again.

    Dagster gives up for ever where the code server does not answer at the moment in which it would.
    """
    run = record.dagster_run
    at_fault = (
        run.status is DagsterRunStatus.FAILURE and run.tags.get(REASON_TAG) != RunFailureReason.STEP_FAILURE.value
    )
    by_the_schedule = run.tags.get(SCHEDULE_TAG) == SCHEDULE
    tried_again = run.tags.keys() & {RETRY_NUMBER_TAG, AGAIN_TAG}
    return at_fault and by_the_schedule and not is_open(record) and not tried_again


def _outcome(instance: DagsterInstance, datasets: str, scenario_id: str, record: RunRecord | None) -> Outcome:
    if record is None:
        words = "nothing launched it; is the Dagster daemon running, and the schedule parity_nightly on?"
        return Outcome(scenario_id=scenario_id, state=State.DID_NOT_RUN, sentences=(words,))
    run = record.dagster_run
    if not run.is_finished:
        words = f"its run is {run.status.value.lower()}"
        return Outcome(scenario_id=scenario_id, state=State.DID_NOT_END, run_id=run.run_id, sentences=(words,))
    logged = instance.all_logs(run.run_id, of_type=TELLING)
    events = Events.of(entry.dagster_event for entry in logged if entry.dagster_event is not None)
    folder = RunFolder(data_root(datasets), folder_run_id(run, instance), scenario_id)
    succeeded = run.status is DagsterRunStatus.SUCCESS
    if run.status is DagsterRunStatus.CANCELED:
        return Outcome(scenario_id=scenario_id, state=State.BROKE_OFF, run_id=run.run_id, words="it was terminated")
    return outcome_of(folder, events, succeeded=succeeded)


def _unusable_settings(present: tuple[str, ...]) -> list[Outcome]:
    """Return what a night can say of its settings: one that cannot be read keeps the schedule from launching it."""
    try:
        wrong = night_settings().strangers(present)
    except BadInput as problem:
        wrong = {f"{PREFIX}*": str(problem)}
    return [Outcome(scenario_id=name, state=State.UNUSABLE, sentences=(words,)) for name, words in wrong.items()]


def _skip(words: str, memory: _Memory) -> SensorResult:
    return SensorResult(skip_reason=SkipReason(words), cursor=memory.written())


@dataclass(frozen=True, slots=True)
class _Memory:
    """The cursor. before: the newest night that was before this instance; late_since: when a look found this one late.

    night: the one that is looked at.
    """

    night: date
    before: date
    late_since: datetime | None = None

    @classmethod
    def read(cls, cursor: str | None, night: date, now: datetime) -> _Memory:
        """Read the cursor; without one, a night that has begun is not this instance's.

        Forgotten is when another night was late, and a time that is yet to come: the clock was ahead.
        """
        if cursor is None:
            return cls(night, night)
        known = json.loads(cursor)
        late = datetime.fromisoformat(known["late_since"]) if known["late_since"] else None
        of_this = known.get("night") == night.isoformat() and late is not None and late <= now
        return cls(night, date.fromisoformat(known["before"]), late if of_this else None)

    def written(self) -> str:
        """Return the cursor."""
        late = None if self.late_since is None else self.late_since.isoformat()
        named = {"night": self.night.isoformat(), "before": self.before.isoformat()}
        return json.dumps({**named, "late_since": late})
