"""This module defines what the admin's endpoints take, and reads it with a limit on its size."""

from __future__ import annotations

from typing import Annotated, Self, TypeVar

from pydantic import Field, model_validator
from starlette.requests import Request

from cj_pipeline.contracts.els_request import Name, ShortName
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.services.shared.request_body import read_body

# Shorter ones say too little of a grade; production's number.
MIN_ANCHOR_CHARS = 100

# PostgreSQL has no NUL in a text.
StorableText = Annotated[str, Field(pattern=r"^[^\x00]*$")]

Body = TypeVar("Body", bound=FileModel)


class InstructionsBody(FileModel):
    """What an assignment's judge reads: PUT /admin/v1/assessment-instructions/{assignment_id}."""

    instructions_text: StorableText = Field(min_length=1)
    grade_scale: ShortName = "swedish_8_anchor"
    context_origin: ShortName = "research_experiment"
    student_prompt_storage_id: Name | None = None
    judge_rubric_storage_id: Name | None = None


class ScopedInstructionsBody(InstructionsBody):
    """The same for an assignment or for a course: POST /admin/v1/assessment-instructions."""

    assignment_id: Name | None = None
    course_id: ShortName | None = None

    @model_validator(mode="after")
    def _one_scope(self) -> Self:
        if (self.assignment_id is None) is (self.course_id is None):
            raise ValueError("give assignment_id or course_id, one of the two")
        return self


class StudentPromptBody(FileModel):
    """POST /admin/v1/student-prompts."""

    assignment_id: Name
    prompt_text: StorableText = Field(min_length=1)


class JudgeRubricBody(FileModel):
    """POST /admin/v1/judge-rubrics."""

    assignment_id: Name
    rubric_text: StorableText = Field(min_length=1)


class AnchorBody(FileModel):
    """POST /api/v1/anchors/register. grade_scale: the assignment's, where it is given at all."""

    assignment_id: Name
    grade: ShortName
    grade_scale: ShortName | None = None
    anchor_label: ShortName | None = None
    essay_text: StorableText = Field(min_length=MIN_ANCHOR_CHARS)


async def read_model(request: Request, model: type[Body]) -> Body:
    """Return the body of a request. Raises BodyTooLarge, pydantic.ValidationError."""
    return model.model_validate_json(await read_body(request))
