"""This module reads and changes what is registered for an assignment: its instructions and its anchors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select

from cj_pipeline.engine.grades.scales import SCALES
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.errors import CjPipelineError, did_you_mean
from cj_pipeline.services.cj.store.database import Transaction
from cj_pipeline.services.cj.store.tables import anchor_essay_references, assessment_instructions

CANONICAL_NATIONAL = "canonical_national"
"""The origin of instructions whose rubric no request may replace."""


class NotOnTheScale(CjPipelineError):
    """A grade or a scale that nothing could be graded by."""


@dataclass(frozen=True, slots=True)
class AnchorReference:
    """An essay of known grade, by its stored text."""

    anchor_ref_id: int
    anchor_label: str
    grade: str
    text_storage_id: str


@dataclass(frozen=True, slots=True)
class Instructions:
    """What the judge of an assignment or a course reads, and the scale it is graded on.

    assignment_id, course_id: one of the two. id, created_at: None for what is not kept yet.
    """

    instructions_text: str
    grade_scale: str
    context_origin: str
    assignment_id: str | None = None
    course_id: str | None = None
    student_prompt_storage_id: str | None = None
    judge_rubric_storage_id: str | None = None
    id: int | None = None
    created_at: datetime | None = None

    @property
    def scope(self) -> dict[str, str]:
        """The column that tells these from others, and its value."""
        names = {"assignment_id": self.assignment_id, "course_id": self.course_id}
        return {name: value for name, value in names.items() if value is not None}


async def instructions_of(transaction: Transaction, **scope: str) -> Instructions | None:
    """Return the instructions of an assignment (`assignment_id=`) or of a course (`course_id=`), or None."""
    row = await transaction.first(select(assessment_instructions).where(*_is(scope)))
    return None if row is None else Instructions(**row._mapping)


async def every_instructions(transaction: Transaction, *, limit: int, offset: int) -> tuple[int, list[Instructions]]:
    """Return how many instructions there are, and some of them, the newest first."""
    total = await transaction.first(select(func.count()).select_from(assessment_instructions))
    newest = select(assessment_instructions).order_by(assessment_instructions.c.id.desc())
    rows = await transaction.all(newest.limit(limit).offset(offset))
    return 0 if total is None else int(total[0]), [Instructions(**row._mapping) for row in rows]


async def anchors_of(transaction: Transaction, assignment_id: str, grade_scale: str) -> list[AnchorReference]:
    """Return the assignment's anchors on one scale, in order of registration."""
    rows = await transaction.all(
        select(anchor_essay_references)
        .where(
            anchor_essay_references.c.assignment_id == assignment_id,
            anchor_essay_references.c.grade_scale == grade_scale,
        )
        .order_by(anchor_essay_references.c.id)
    )
    return [AnchorReference(row.id, row.anchor_label, row.grade, row.text_storage_id) for row in rows]


async def register_instructions(transaction: Transaction, instructions: Instructions, clock: LoopClock) -> None:
    """Make or replace the instructions of their scope. Raises NotOnTheScale for a scale that is not known.

    A stored prompt or rubric that is not named stays: it is uploaded by itself.
    """
    _require_scale(instructions.grade_scale)
    stored = {
        "student_prompt_storage_id": instructions.student_prompt_storage_id,
        "judge_rubric_storage_id": instructions.judge_rubric_storage_id,
    }
    values = {
        "instructions_text": instructions.instructions_text,
        "grade_scale": instructions.grade_scale,
        "context_origin": instructions.context_origin,
        **{name: value for name, value in stored.items() if value is not None},
    }
    row = {**instructions.scope, "created_at": clock.now(), **values}
    if not await transaction.insert_unless_there(assessment_instructions, row):
        await transaction.execute(assessment_instructions.update().where(*_is(instructions.scope)).values(**values))


async def set_stored_text(transaction: Transaction, assignment_id: str, column: str, storage_id: str) -> None:
    """Say where the prompt or the rubric of an assignment is stored. column: of assessment_instructions."""
    scope = {"assignment_id": assignment_id}
    await transaction.execute(assessment_instructions.update().where(*_is(scope)).values({column: storage_id}))


async def delete_instructions(transaction: Transaction, **scope: str) -> bool:
    """Take the instructions of an assignment or a course away; whether there were any."""
    result = await transaction.execute(assessment_instructions.delete().where(*_is(scope)))
    return bool(result.rowcount)  # type: ignore[attr-defined]


async def register_anchor(
    transaction: Transaction,
    *,
    assignment_id: str,
    anchor_label: str | None,
    grade: str,
    grade_scale: str,
    text_storage_id: str,
    clock: LoopClock,
) -> int:
    """Make or replace the anchor of that label on that scale, and return its id; the label is the grade by default.

    Raises NotOnTheScale.
    """
    _require_scale(grade_scale)
    if grade not in SCALES[grade_scale].grades:
        raise NotOnTheScale(
            f"'{grade}' is no grade of {grade_scale}. {did_you_mean(grade, SCALES[grade_scale].grades)}"
        )
    key = {
        "assignment_id": assignment_id,
        "anchor_label": anchor_label or grade,
        "grade_scale": grade_scale,
    }
    values = {"grade": grade, "text_storage_id": text_storage_id}
    row = {**key, **values, "created_at": clock.now()}
    if not await transaction.insert_unless_there(anchor_essay_references, row):
        await transaction.execute(
            anchor_essay_references.update()
            .where(*(anchor_essay_references.c[name] == value for name, value in key.items()))
            .values(**values)
        )
    kept = await transaction.first(
        select(anchor_essay_references.c.id).where(
            *(anchor_essay_references.c[name] == value for name, value in key.items())
        )
    )
    return 0 if kept is None else int(kept.id)


def _is(scope: Mapping[str, str]) -> list[ColumnElement[bool]]:
    return [assessment_instructions.c[name] == value for name, value in scope.items()]


def _require_scale(name: str) -> None:
    if name not in SCALES:
        raise NotOnTheScale(f"'{name}' is no grade scale. {did_you_mean(name, SCALES)}")
