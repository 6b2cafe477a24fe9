"""This module says what came of the run of one scenario, from its events and from what it stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import AssetCheckSeverity, DagsterEvent, DagsterEventType
from dagster._core.events import JobFailureData, RunFailureReason

from cj_pipeline.alerts.night import Outcome, State
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.parity.compare import Verdict
from cj_pipeline.parity.tables import CHECKS, stored_verdict
from cj_pipeline.warehouse.rows import Row
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.schemas import PARITY_PART

if TYPE_CHECKING:
    from dagster_shared.error import SerializableErrorInfo

TELLING = {
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.RUN_FAILURE,
    DagsterEventType.ASSET_CHECK_EVALUATION,
    DagsterEventType.ENGINE_EVENT,
}
"""The events that `Events.of` reads."""

GATES_FAILED = "assets.parity_checks.GatesFailed"
"""How Dagster writes the error with which the step of the gates ends, once it has yielded every check."""

FROM_OUTSIDE = "This run has been marked as failed from outside the execution context."
"""What Dagster says of a run whose worker died; the event before it says how."""

# How Dagster writes the classes of errors that a user can correct.
MENDABLE = ("cj_pipeline.", "OSError", "PermissionError", "FileNotFoundError")


@dataclass(frozen=True, slots=True)
class Events:
    """What the events of a run tell.

    problems: (step, error) of each step that broke off; failed_checks: description by `asset: check` of each check that
    failed; blocking: those of them that stop a run.
    """

    problems: tuple[tuple[str, str], ...]
    failed_checks: dict[str, str]
    blocking: frozenset[str]

    @classmethod
    def of(cls, events: Iterable[DagsterEvent]) -> Events:
        """Read the events of one run."""
        listed = tuple(events)
        failed, blocking = {}, set()
        for event in listed:
            if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
                check = event.asset_check_evaluation_data
                if not check.passed:
                    name = f"{check.asset_key.to_user_string()}: {check.check_name}"
                    failed[name] = check.description or ""
                    if check.blocking and check.severity is AssetCheckSeverity.ERROR:
                        blocking.add(name)
        return cls(tuple(_problems(listed)), failed, frozenset(blocking))

    @property
    def causes(self) -> tuple[str, ...]:
        """`step: error` of each step that broke off, in the words that our errors have."""
        return tuple(f"{step}: {_OWN_CLASS.sub('', cause)}" for step, cause in self.problems)

    @property
    def defects(self) -> bool:
        """Whether a step broke off by a defect of ours."""
        return any(not cause.startswith(MENDABLE) for _, cause in self.problems)


def outcome_of(run: RunFolder, events: Events, *, succeeded: bool) -> Outcome:
    """Return what came of a run that has ended. succeeded: as Dagster has it."""
    try:
        rows = run.read(CHECKS, PARITY_PART) if run.has(CHECKS, PARITY_PART) else []
    except (CjPipelineError, OSError) as problem:  # damage, or storage away, must not keep the night from being told
        sentences = _short([str(problem)])
        return Outcome(scenario_id=run.scenario_id, state=State.BROKE_OFF, run_id=run.run_id, sentences=sentences)
    if not rows or events.problems:
        stops = [*events.causes]
        stops += [f"{name}: {events.failed_checks[name]}" for name in sorted(events.blocking) if not rows]
        state = State.AS_EXPECTED if succeeded else State.BROKE_OFF
        return Outcome(scenario_id=run.scenario_id, state=state, run_id=run.run_id, sentences=_short(stops))
    verdict = stored_verdict(run.scenario_id, rows)
    red = [] if verdict.as_expected else [*_failed(rows), *(f"{one.sentence}." for one in verdict.reasons)]
    # Beside the gates: a check that blocks and is none of them, as that of the trace.
    red += [f"{name}: {events.failed_checks[name]}" for name in sorted(events.blocking) if not name.startswith(_GATES)]
    good = verdict.as_expected and succeeded
    return Outcome(
        scenario_id=run.scenario_id,
        state=State.AS_EXPECTED if good else State.NOT_AS_EXPECTED,
        run_id=run.run_id,
        words=f"{verdict.words}, {len(verdict.failing)} of {verdict.checks_on} gates failed",
        sentences=_short(red),
    )


_GATES = "parity/report: "
_OF_DAGSTER = re.compile(r"^\[\w+\] | for [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The class and the run that Dagster names in an engine event: the same news has the same words."""
_OWN_CLASS = re.compile(r"^cj_pipeline(\.\w+)+: ")
"""How Dagster writes the class of an error of ours, whose sentence needs none."""

_LONGEST = 400


def _failed(rows: Iterable[Row]) -> list[str]:
    failed = (row for row in rows if row["verdict"] == Verdict.FAIL)
    return [
        f"{row['check']}: {row['sentence']}" + (f" (tolerance {row['tolerance']})" if row["tolerance"] else "")
        for row in failed
    ]


def _short(sentences: Iterable[str]) -> tuple[str, ...]:
    lines = (" ".join(sentence.split()) for sentence in sentences)
    return tuple(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..." for line in lines)


def _problems(events: Iterable[DagsterEvent]) -> Iterator[tuple[str, str]]:
    """Yield (step, error) of each step that broke off, or (`run`, error) of a run that did before its first step."""
    noted = ""
    for event in events:
        if event.is_engine_event:
            noted = _OF_DAGSTER.sub("", event.message or "")
        elif event.is_step_failure:
            cause = _first_cause(event.step_failure_data.error)
            # A check that failed is not a step that broke off, though Dagster ends its step with an error.
            if "DagsterAssetCheckFailedError" not in cause and GATES_FAILED not in cause:
                yield event.step_key or "run", cause
        elif event.event_type is DagsterEventType.RUN_FAILURE:
            data = event.event_specific_data  # none, where a worker died
            failure = data if isinstance(data, JobFailureData) else JobFailureData(error=None)
            if failure.failure_reason is not RunFailureReason.STEP_FAILURE:
                said = "" if event.message in (None, FROM_OUTSIDE) else event.message
                yield "run", _first_cause(failure.error) or said or noted or FROM_OUTSIDE


def _first_cause(error: SerializableErrorInfo | None) -> str:
    """Return the message of the first cause, without Dagster's wrapping around it."""
    while error is not None and error.cause is not None:
        error = error.cause
    return "" if error is None else error.message.strip()
