"""This module defines the event that starts a batch, `ELS_CJAssessmentRequestV1`, and reads one from bytes.

What it starts is in services/cj; the events that answer it are in cj_events.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from cj_pipeline.contracts.callback import EventEnvelope, Rejection
from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import LLMBatchingMode
from cj_pipeline.contracts.finite import all_finite
from cj_pipeline.contracts.model import WireModel
from cj_pipeline.foundation.seeding import keyed_uuid

ASSESSMENT_REQUEST_TOPIC = "huleedu.els.cj_assessment.requested.v1"

ANCHOR_PREFIX = "ANCHOR_"

# As long as the columns that keep them; PostgreSQL has no NUL in a text, and an id has no use for control characters.
Name = Annotated[
    str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$")
]
ShortName = Annotated[str, Field(max_length=50, pattern=r"^[^\x00-\x1f\x7f]*$")]


def _as_utc(instant: datetime) -> datetime:
    """Return a time with a zone: peers write UTC without saying so."""
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


Instant = Annotated[datetime, AfterValidator(_as_utc)]


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
    timestamp: Instant | None = None
    system_metadata: dict[str, Any] = Field(default_factory=dict)
    essays_for_cj: tuple[EssayReference, ...]
    language: ShortName
    course_code: ShortName
    student_prompt_ref: PromptReference | None = None
    llm_config_overrides: AssessmentOverrides | None = None
    assignment_id: Name | None = None
    user_id: Name
    org_id: Name | None = None


def _a_count(value: object) -> object:
    """Return a number of comparisons; None for anything else, which production ignores as well."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


class EnvelopeMetadata(WireModel):
    """What the envelope's metadata may set for a batch. max_comparisons: ignored unless it is a positive integer."""

    max_comparisons: Annotated[int | None, BeforeValidator(_a_count)] = None
    batch_config_overrides: BatchConfigOverrides | None = None
    llm_batching_mode_hint: Any = None
    """Wins over the override; a word that is no mode is ignored."""


class AssessmentRequestEvent(EventEnvelope[AssessmentRequestV1]):
    """An envelope around a request."""

    event_timestamp: Instant

    def envelope_metadata(self) -> EnvelopeMetadata:
        """Return the metadata that has an effect. Raises pydantic.ValidationError."""
        return EnvelopeMetadata.model_validate(self.metadata or {})

    @property
    def ignored_metadata(self) -> tuple[str, ...]:
        """What the metadata sets to something unusable, and a batch is made all the same."""
        asked = (self.metadata or {}).get("max_comparisons")
        return ("max_comparisons",) if asked is not None and _a_count(asked) is None else ()


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request that cannot be used, and that says whose it is: the sender gets a failed event.

    rejection: the field and what is wrong with it, without any of its text.
    """

    rejection: Rejection
    event_id: UUID
    correlation_id: UUID
    entity_id: str
    parent_id: str | None
    metadata: object


def parse_assessment_request(message: bytes) -> AssessmentRequestEvent | RefusedRequest | Rejection:
    """Read one request from its JSON bytes; return what is wrong with it otherwise, without any of its text."""
    try:
        event = AssessmentRequestEvent.model_validate_json(message)
        event.envelope_metadata()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        return _whose(message, Rejection(field=field, reason=first["msg"].partition(",")[0]))
    if not all_finite(event):
        return _whose(message, Rejection(field="", reason="NaN, Infinity and numbers beyond a double are not JSON"))
    return event


def _whose(message: bytes, rejection: Rejection) -> RefusedRequest | Rejection:
    """Return a rejection with the batch that it is about, where the message still says so."""
    try:
        document = json.loads(message)
        data = document["data"]
        entity_id, parent_id = data["entity_id"], data.get("parent_id")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return rejection
    # As an event's key and a column's text can hold it.
    entity_id = _printable(entity_id)
    if not entity_id:
        return rejection
    return RefusedRequest(
        rejection,
        event_id=_uuid(document.get("event_id")) or keyed_uuid("refused-event", message.hex()),
        correlation_id=_uuid(document.get("correlation_id")) or keyed_uuid("refused-correlation", message.hex()),
        entity_id=entity_id,
        parent_id=_printable(parent_id) or None,
        metadata=document.get("metadata"),
    )


def _printable(text: object) -> str:
    return "".join(sign for sign in text if sign.isprintable())[:255].strip() if isinstance(text, str) else ""


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
