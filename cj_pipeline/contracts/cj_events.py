"""This module defines the events that the CJ service publishes when a batch is over, with their topics.

It does not say when they are published: services/cj does.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from cj_pipeline.contracts.model import WireModel

CJ_SOURCE_SERVICE = "cj_assessment_service"

CJ_COMPLETED_TOPIC = "huleedu.cj_assessment.completed.v1"
CJ_FAILED_TOPIC = "huleedu.cj_assessment.failed.v1"
ASSESSMENT_RESULT_TOPIC = "huleedu.assessment.result.published.v1"
RESOURCE_CONSUMPTION_TOPIC = "huleedu.resource.consumption.v1"

COMPLETED_SUCCESSFULLY = "completed_successfully"
FAILED_CRITICALLY = "failed_critically"

# The id in events about a batch that was never created.
INITIALIZATION_FAILED = "INITIALIZATION_FAILED"

LetterGrade = Annotated[str, Field(pattern=r"^([A-F][+-]?|U)$")]


class ProcessingSummary(WireModel):
    """Students only: anchors are neither successes nor failures of a batch."""

    total_essays: Annotated[int, Field(ge=0)]
    successful: Annotated[int, Field(ge=0)]
    failed: Annotated[int, Field(ge=0)]
    successful_essay_ids: list[str]
    failed_essay_ids: list[str]
    processing_time_seconds: Annotated[float, Field(ge=0.0)]
    single_essay_batch: bool


class ProcessingMetadata(WireModel):
    """What `system_metadata` says of a batch. The peer's model requires the entity's id and type.

    error_info: reason and details, of a batch without a result.
    """

    entity_id: str
    entity_type: str = "batch"
    parent_id: str | None = None
    timestamp: AwareDatetime
    processing_stage: str
    event: str
    started_at: AwareDatetime | None = None
    completed_at: AwareDatetime | None = None
    error_info: dict[str, Any] | None = None


class CJAssessmentCompletedV1(WireModel):
    """The thin event: a batch is over, without scores."""

    event_name: str = "cj_assessment.completed"
    entity_id: str
    entity_type: str = "batch"
    parent_id: str | None = None
    timestamp: AwareDatetime
    status: str
    system_metadata: ProcessingMetadata
    cj_assessment_job_id: str
    processing_summary: ProcessingSummary


class CJAssessmentFailedV1(WireModel):
    """A batch is over and has no result, or never began."""

    event_name: str = "cj_assessment.failed"
    entity_id: str
    entity_type: str = "batch"
    parent_id: str | None = None
    timestamp: AwareDatetime
    status: str = FAILED_CRITICALLY
    system_metadata: ProcessingMetadata
    cj_assessment_job_id: str


class EssayResult(WireModel):
    """One essay of a published result, anchors included.

    letter_grade: U where there is no grade, or none that is a letter; grade: the projected or known grade whatever it
    looks like, so that numeric scales are not lost. bt_score: logits.
    """

    essay_id: str
    normalized_score: Annotated[float, Field(ge=0.0, le=1.0)]
    letter_grade: LetterGrade
    confidence_score: Annotated[float, Field(ge=0.0, le=1.0)]
    confidence_label: str
    bt_score: float
    rank: Annotated[int, Field(ge=1)]
    is_anchor: bool
    feedback_uri: str | None = None
    metrics_uri: str | None = None
    display_name: str | None = None
    grade: str | None = None


class AssessmentResultV1(WireModel):
    """The rich event: every essay with its score, rank and grade."""

    event_name: str = "assessment.result.published"
    entity_id: str
    entity_type: str = "batch"
    parent_id: str | None = None
    timestamp: AwareDatetime
    batch_id: str
    cj_assessment_job_id: str
    assignment_id: str | None = None
    assessment_method: str = "cj_assessment"
    model_used: str
    model_provider: str
    model_version: str | None = None
    essay_results: list[EssayResult]
    assessment_metadata: dict[str, Any]
    assessed_at: AwareDatetime


class ResourceConsumptionV1(WireModel):
    """What a batch cost its owner. quantity: comparisons that were judged."""

    event_name: str = "resource.consumption.reported"
    entity_id: str
    entity_type: str = "batch"
    parent_id: str | None = None
    timestamp: AwareDatetime
    user_id: str
    org_id: str | None = None
    resource_type: str = "cj_comparison"
    quantity: Annotated[int, Field(gt=0)]
    service_name: str = CJ_SOURCE_SERVICE
    processing_id: str
    consumed_at: AwareDatetime
