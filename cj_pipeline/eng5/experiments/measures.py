"""This module says what one cell of an experiment is like: how it answers, agrees with grades, costs and takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.eng5.alignment.case import AlignmentCase
from cj_pipeline.eng5.alignment.result import Measure, evaluate
from cj_pipeline.eng5.artefact.files import COMPARISONS
from cj_pipeline.eng5.boundary import Estimate, share
from cj_pipeline.eng5.experiments.cells import Cell
from cj_pipeline.eng5.experiments.experiment import WHEN_DAMAGED, Experiment
from cj_pipeline.eng5.options import JudgeKind
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.model.answers import Answers, answers_of
from cj_pipeline.runs.recording.portrait import JudgePortrait, portrait_of
from cj_pipeline.traces.grade_file import GRADE_ORDER
from cj_pipeline.traces.importing.grade_scales import net_scale


@dataclass(frozen=True, slots=True)
class CellMeasures:
    """One cell. complete: whether it has asked all that it was to ask. free: whether nobody is paid for its answers.

    better_grade, first_shown, error_rate: shares with Wilson's 95 % interval. spent_usd: the most that can have been
    spent; None where no price is known. asked_again: comparisons that were in flight at an interruption.
    """

    cell: Cell
    complete: bool
    free: bool
    case: AlignmentCase
    answers: Answers
    portrait: JudgePortrait
    error_rate: Estimate
    tau_a: Measure | None
    tau_b: Measure | None
    inversions: int
    better_grade: Estimate
    first_shown: Estimate
    confidence: float | None
    spent_usd: float | None
    asked_again: int
    counters: Mapping[str, float]


def measures_of(experiment: Experiment, cell: Cell) -> CellMeasures | None:
    """Return what a cell is like; None where it has no artefact, or nothing came back."""
    document = experiment.document(cell)
    if document is None:
        return None
    events = _events(experiment, cell, document)
    if not events:
        return None
    case = _case(experiment, cell, document, events)
    place = {grade: number for number, grade in enumerate(case.scale)}
    portrait = portrait_of([case.callbacks], {essay: place[grade] for essay, grade in case.grades.items()})
    result = evaluate(case, repeats=0)
    answers = answers_of([case.callbacks])
    status = document["validation"]["runner_status"]
    rated = answers.confidence[answers.rated]
    return CellMeasures(
        cell=cell,
        complete=not status["partial_data"],
        free=experiment.grid.judge is not JudgeKind.PROVIDER,
        case=case,
        answers=answers,
        portrait=portrait,
        error_rate=share(portrait.asked - portrait.answered.count, portrait.asked),
        tau_a=result.tau_a,
        tau_b=result.tau_b,
        inversions=len(result.inversions),
        better_grade=share(portrait.better_grade.count, portrait.better_grade.of),
        first_shown=share(portrait.first_shown.count, portrait.first_shown.of),
        confidence=float(rated.mean()) if len(rated) else None,
        spent_usd=None if experiment.grid.judge is JudgeKind.MOCK else status["spent_usd_at_most"],
        asked_again=status["asked_again"],
        counters=status.get("service_counters", {}),
    )


def _events(experiment: Experiment, cell: Cell, document: Mapping[str, Any]) -> list[CallbackEvent]:
    """Return the callbacks as they came: the artefact has neither latencies nor metadata."""
    folder = experiment.cell_folder(cell)
    listed = [entry["path"] for entry in document["validation"]["manifest"]]
    return [_event(folder / path) for path in listed if path.startswith(f"{COMPARISONS}/")]


def _event(path: Path) -> CallbackEvent:
    try:
        event = parse_callback(path.read_bytes())
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror}).", path=path, remedy=WHEN_DAMAGED) from None
    if isinstance(event, Rejection):
        raise BadInput("is damaged: it is no callback.", path=path, field=event.field, remedy=WHEN_DAMAGED)
    return event


def _case(
    experiment: Experiment, cell: Cell, document: Mapping[str, Any], events: list[CallbackEvent]
) -> AlignmentCase:
    anchors = document["inputs"]["anchors"]
    grades = {one["compared_as"]: one["grade"] for one in anchors if one["grade"] is not None}
    return AlignmentCase(
        title=cell.name,
        source=f"cell {cell.name} of {experiment.grid.name}",
        callbacks=tuple(event.data for event in events),
        labels={one["compared_as"]: one["anchor_id"] for one in anchors},
        grades=grades,
        scale=net_scale(document["metadata"]["grade_scale"], grades.values()) or GRADE_ORDER,
        mocked=experiment.grid.judge is JudgeKind.MOCK,
    )
