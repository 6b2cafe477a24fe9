"""This module makes the recorded side of a scenario: the answers of its main recording and of every further one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay
from cj_pipeline.runs.tables import Answers
from cj_pipeline.traces.reader import CallbackFile, read_callbacks
from cj_pipeline.traces.scenario import Scenario
from cj_pipeline.traces.store import MAIN, Recording, Trace


def recorded_answers(scenario: Scenario, trace: Trace) -> Answers:
    """Return what the recorded judge answered: usable lines, and those that are not, of every recording."""
    main = _answers(scenario, trace.recordings[0], trace.callbacks)
    return replace(main, further=further_answers(scenario, trace.recordings))


def further_answers(scenario: Scenario, recordings: Sequence[Recording]) -> tuple[Answers, ...]:
    """Read every recording but the main one, which comes first."""
    return tuple(_answers(scenario, one, read_callbacks(one.path)) for one in recordings[1:])


def further_runs(scenario: Scenario, further: Iterable[Answers]) -> tuple[RunRecord, ...]:
    """Run further recordings through the engine."""
    return tuple(
        replay(
            scenario,
            one.events,
            side=Side.RECORDED,
            judge=one.judge,
            seed=one.seed,
            quarantined_lines=len(one.quarantined),
        )
        for one in further
    )


def recording_label(scenario: Scenario, recording: Recording) -> str:
    """Return what reports call a recording: the scenario's id, with the recording's name where it is a further one."""
    return scenario.scenario_id + ("" if recording.name == MAIN else f"/{recording.name}")


def _answers(scenario: Scenario, recording: Recording, callbacks: CallbackFile) -> Answers:
    return Answers(
        judge=JudgeIdentity(recording_label(scenario, recording), recording.sha256),
        seed=scenario.live.seed,
        events=tuple(line.event for line in callbacks.events),
        quarantined=callbacks.quarantined,
    )
