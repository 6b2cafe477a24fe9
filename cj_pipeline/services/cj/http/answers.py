"""This module holds the answers of the routes as models, for the OpenAPI document. A test holds the app to them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from cj_pipeline.services.shared.openapi import Answer

Count = Annotated[int, Field(ge=0)]
Status = Literal["healthy", "unhealthy"]
ServiceName = Literal["cj_assessment_service"]


class Refusal(Answer):
    """A request that cannot be answered; it names fields and repeats no value of theirs."""

    error: str


class InstructionsAnswer(Answer):
    """The instructions of an assignment or of a course: one of the two ids is null."""

    id: int | None
    assignment_id: str | None
    course_id: str | None
    instructions_text: str
    grade_scale: str
    context_origin: str
    student_prompt_storage_id: str | None
    judge_rubric_storage_id: str | None
    created_at: AwareDatetime | None


class InstructionsList(Answer):
    """A page of instructions, the newest first. total: on all pages."""

    items: list[InstructionsAnswer]
    total: Count
    page: Annotated[int, Field(ge=1)]
    page_size: Annotated[int, Field(ge=1)]


class StudentPromptAnswer(InstructionsAnswer):
    """What students were asked, with the instructions of the assignment."""

    prompt_text: str


class JudgeRubricAnswer(InstructionsAnswer):
    """What the judge goes by, with the instructions of the assignment."""

    rubric_text: str


class AnchorAnswer(Answer):
    """An essay of known grade."""

    anchor_id: int
    anchor_label: str
    grade: str
    grade_scale: str
    text_storage_id: str


class AnchorList(Answer):
    """The anchors of an assignment, on its own scale."""

    assignment_id: str
    grade_scale: str
    anchor_count: Count
    anchors: list[AnchorAnswer]


class RegisteredAnchor(Answer):
    """An anchor that is now registered. storage_id and text_storage_id are the same."""

    anchor_id: int
    storage_id: str
    status: Literal["registered"]
    anchor_label: str
    text_storage_id: str
    grade_scale: str


class Checks(Answer):
    """What was looked at."""

    service_responsive: bool
    dependencies_available: bool


class DatabaseKind(Answer):
    """The database. kind: its dialect."""

    kind: str
    status: Status


class Dependencies(Answer):
    """What the service needs."""

    database: DatabaseKind


class Health(Answer):
    """Whether the service does its work; message says why not."""

    service: ServiceName
    status: Status
    message: str
    version: str
    checks: Checks
    dependencies: Dependencies
    environment: str


class Liveness(Answer):
    """That the process answers."""

    service: ServiceName
    status: Literal["healthy"]


class DatabaseHealth(DatabaseKind):
    """Whether the database answers. schema_version: that this program wants."""

    schema_version: int


class DatabaseSummary(Answer):
    """How many batches there are, by state."""

    status: Literal["healthy"]
    batches: dict[str, Count]
    total_batches: Count


class DatabaseAway(Answer):
    """That the database does not answer."""

    status: Literal["unhealthy"]
