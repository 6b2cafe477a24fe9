"""This module defines the event that starts a batch, `ELS_CJAssessmentRequestV1`, and reads one from bytes.

What it starts is in services/cj; the events that answer it are in cj_events.py.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field, ValidationError

from cj_pipeline.contracts.callback import EventEnvelope, Rejection
from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import LLMBatchingMode
from cj_pipeline.contracts.finite import all_finite
from cj_pipeline.contracts.model import WireModel

ASSESSMENT_REQUEST_TOPIC = "huleedu.els.cj_assessment.requested.v1"

ANCHOR_PREFIX = "ANCHOR_"

# As long as the columns that keep them.
Name = Annotated[str, Field(min_length=1, max_length=255)]
ShortName = Annotated[str, Field(max_length=50)]


class EssayReference(WireModel):
    """One essay of a request, by the id of its stored text."""

    essay_id: Name
    text_storage_id: Name

    @property
    def is_student(self) -> bool:
        """Whether it is a student's essay; ids of anchors begin with a prefix."""
        return not self.essay_id.startswith(ANCHOR_PREFIX)


class PromptReference(WireModel):
    """Where the students' task is stored: by kind of content, an entry with a `storage_id`."""

    references: dict[str, dict[str, Any]] = Field(default_factory=dict)


class AssessmentOverrides(LLMConfigOverrides):
    """Who is to judge, and by which rubric."""

    judge_rubric_override: str | None = None


class BatchConfigOverrides(WireModel):
    """What a request may change of the way its batch is sent."""

    batch_size: Annotated[int, Field(ge=10, le=200)] | None = None
    llm_batching_mode_override: LLMBatchingMode | None = None


class AssessmentRequestV1(WireModel):
    """A batch to assess. entity_id: the batch's id with its sender."""

    event_name: str | None = None
    entity_id: Name
    entity_type: str = "batch"
    parent_id: str | None = None
    timestamp: AwareDatetime | None = None
    system_metadata: dict[str, Any] = Field(default_factory=dict)
    essays_for_cj: tuple[EssayReference, ...]
    language: ShortName
    course_code: ShortName
    student_prompt_ref: PromptReference | None = None
    llm_config_overrides: AssessmentOverrides | None = None
    assignment_id: Name | None = None
    user_id: Name
    org_id: Name | None = None


class EnvelopeMetadata(WireModel):
    """What the envelope's metadata may set for a batch."""

    max_comparisons: Annotated[int, Field(gt=0)] | None = None
    batch_config_overrides: BatchConfigOverrides | None = None
    llm_batching_mode_hint: Any = None
    """Wins over the override; a word that is no mode is ignored."""


class AssessmentRequestEvent(EventEnvelope[AssessmentRequestV1]):
    """An envelope around a request."""

    def envelope_metadata(self) -> EnvelopeMetadata:
        """Return the metadata that has an effect. Raises pydantic.ValidationError."""
        return EnvelopeMetadata.model_validate(self.metadata or {})


def parse_assessment_request(message: bytes) -> AssessmentRequestEvent | Rejection:
    """Read one request from its JSON bytes; return what is wrong with it otherwise, without any of its text."""
    try:
        event = AssessmentRequestEvent.model_validate_json(message)
        event.envelope_metadata()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        return Rejection(field=".".join(str(part) for part in first["loc"]), reason=first["msg"].partition(",")[0])
    if not all_finite(event):
        return Rejection(field="", reason="NaN, Infinity and numbers beyond a double are not JSON")
    return event
