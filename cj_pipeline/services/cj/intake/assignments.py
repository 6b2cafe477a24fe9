"""This module reads and changes what is registered for an assignment: its instructions and its anchors."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

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
    """What the judge of an assignment reads, and the scale it is graded on."""

    assignment_id: str
    instructions_text: str
    grade_scale: str
    context_origin: str
    student_prompt_storage_id: str | None = None
    judge_rubric_storage_id: str | None = None


async def instructions_of(transaction: Transaction, assignment_id: str) -> Instructions | None:
    """Return the assignment's own instructions, or None."""
    row = await transaction.first(
        select(assessment_instructions).where(assessment_instructions.c.assignment_id == assignment_id)
    )
    if row is None:
        return None
    return Instructions(
        assignment_id=assignment_id,
        instructions_text=row.instructions_text,
        grade_scale=row.grade_scale,
        context_origin=row.context_origin,
        student_prompt_storage_id=row.student_prompt_storage_id,
        judge_rubric_storage_id=row.judge_rubric_storage_id,
    )


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
    """Make or replace an assignment's instructions. Raises NotOnTheScale for a scale that is not known."""
    _require_scale(instructions.grade_scale)
    values = {
        "instructions_text": instructions.instructions_text,
        "grade_scale": instructions.grade_scale,
        "context_origin": instructions.context_origin,
        "student_prompt_storage_id": instructions.student_prompt_storage_id,
        "judge_rubric_storage_id": instructions.judge_rubric_storage_id,
    }
    key = {"assignment_id": instructions.assignment_id, "created_at": clock.now()}
    if not await transaction.insert_unless_there(assessment_instructions, {**key, **values}):
        await transaction.execute(
            assessment_instructions.update()
            .where(assessment_instructions.c.assignment_id == instructions.assignment_id)
            .values(**values)
        )


async def delete_instructions(transaction: Transaction, assignment_id: str) -> bool:
    """Take an assignment's instructions away; whether there were any."""
    result = await transaction.execute(
        assessment_instructions.delete().where(assessment_instructions.c.assignment_id == assignment_id)
    )
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
) -> None:
    """Make or replace the anchor of that label on that scale; the label is the grade where none is given.

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


def _require_scale(name: str) -> None:
    if name not in SCALES:
        raise NotOnTheScale(f"'{name}' is no grade scale. {did_you_mean(name, SCALES)}")
