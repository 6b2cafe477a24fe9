"""This module makes the events of a finished batch from its numbers.

The rich event is written first: a consumer that learns that a batch is complete must find its result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cj_pipeline.contracts.cj_events import (
    COMPLETED_SUCCESSFULLY,
    FAILED_CRITICALLY,
    INITIALIZATION_FAILED,
    AssessmentResultV1,
    CJAssessmentCompletedV1,
    CJAssessmentFailedV1,
    EssayResult,
    ProcessingMetadata,
    ProcessingSummary,
    ResourceConsumptionV1,
)
from cj_pipeline.engine.grades.anchors import AnchorReferences, anchor_grade, published_distribution
from cj_pipeline.engine.grades.projection import ProjectedGrade, Projection
from cj_pipeline.engine.grades.scales import normalized
from cj_pipeline.engine.scoring.rankings import RankingRow
from cj_pipeline.services.cj.intake.request_record import RequestRecord

UNGRADED = "U"
_LETTER = re.compile(r"[A-F][+-]?|U")


@dataclass(frozen=True, slots=True)
class Ended:
    """A batch that is over. judge: provider and model that gave most of its answers; completed: comparisons judged."""

    cj_batch_id: int
    bos_batch_id: str
    correlation_id: UUID
    request: RequestRecord
    started_at: datetime
    ended_at: datetime
    completed: int = 0
    judge: tuple[str, str] = ("", "")

    @property
    def seconds(self) -> float:
        """From the first row to the end."""
        return max(0.0, (self.ended_at - self.started_at).total_seconds())


def known_grade(row: RankingRow) -> str | None:
    """Return an anchor's own grade."""
    return anchor_grade(row.processing_metadata, row.text_storage_id, AnchorReferences())


def result_event(ended: Ended, rankings: Sequence[RankingRow], projection: Projection | None) -> AssessmentResultV1:
    """Return the rich event. projection: None for a batch that is not graded."""
    grades = {} if projection is None else {grade.essay_id: grade for grade in projection.grades}
    anchors = [row for row in rankings if row.is_anchor]
    calibrated = projection is not None and projection.available
    provider, model = ended.judge
    return AssessmentResultV1(
        entity_id=ended.bos_batch_id,
        timestamp=ended.ended_at,
        batch_id=ended.bos_batch_id,
        cj_assessment_job_id=str(ended.cj_batch_id),
        assignment_id=ended.request.assignment_id,
        model_used=model,
        model_provider=provider,
        essay_results=[_essay(row, grades) for row in rankings],
        assessment_metadata={
            "anchor_essays_used": len(anchors),
            "calibration_method": "anchor" if calibrated else "default",
            "anchor_grade_distribution": published_distribution(known_grade(row) for row in anchors),
            "comparison_count": ended.completed,
            "processing_duration_seconds": ended.seconds,
            "llm_temperature": ended.request.llm_config_overrides.temperature_override,
            "assignment_id": ended.request.assignment_id,
            "course_code": ended.request.course_code,
        },
        assessed_at=ended.ended_at,
    )


def completed_event(ended: Ended, rankings: Sequence[RankingRow]) -> CJAssessmentCompletedV1:
    """Return the thin event: students only."""
    students = sorted((row.els_essay_id, row.bradley_terry_score is not None) for row in rankings if not row.is_anchor)
    scored = [essay for essay, has_score in students if has_score]
    failed = [essay for essay, has_score in students if not has_score] + sorted(ended.request.dropped_essay_ids)
    return CJAssessmentCompletedV1(
        entity_id=ended.bos_batch_id,
        parent_id=ended.request.parent_id,
        timestamp=ended.ended_at,
        status=COMPLETED_SUCCESSFULLY if scored else FAILED_CRITICALLY,
        system_metadata=ProcessingMetadata(
            entity_id=ended.bos_batch_id,
            timestamp=ended.ended_at,
            processing_stage="completed",
            event="cj_assessment.completed",
            started_at=ended.started_at,
            completed_at=ended.ended_at,
        ),
        cj_assessment_job_id=str(ended.cj_batch_id),
        processing_summary=ProcessingSummary(
            total_essays=len(students) + len(ended.request.dropped_essay_ids),
            successful=len(scored),
            failed=len(failed),
            successful_essay_ids=scored,
            failed_essay_ids=failed,
            processing_time_seconds=ended.seconds,
            single_essay_batch=len(students) == 1,
        ),
    )


def consumption_event(ended: Ended) -> ResourceConsumptionV1 | None:
    """Return what was consumed: comparisons judged, each as often as it was; None where none was."""
    if ended.completed == 0:
        return None
    return ResourceConsumptionV1(
        entity_id=ended.bos_batch_id,
        timestamp=ended.ended_at,
        user_id=ended.request.user_id,
        org_id=ended.request.org_id,
        quantity=ended.completed,
        processing_id=str(ended.cj_batch_id),
        consumed_at=ended.ended_at,
    )


def failed_event(
    *,
    entity_id: str,
    parent_id: str | None,
    job_id: int | None,
    now: datetime,
    reason: str,
    details: Mapping[str, object],
) -> CJAssessmentFailedV1:
    """Return the event of a batch without a result. job_id: None where no batch came to be."""
    return CJAssessmentFailedV1(
        entity_id=entity_id,
        parent_id=parent_id,
        timestamp=now,
        system_metadata=ProcessingMetadata(
            entity_id=entity_id,
            timestamp=now,
            processing_stage="failed",
            event="cj_assessment.failed",
            error_info={"reason": reason, "details": dict(details)},
        ),
        cj_assessment_job_id=INITIALIZATION_FAILED if job_id is None else str(job_id),
    )


def _essay(row: RankingRow, grades: Mapping[str, ProjectedGrade]) -> EssayResult:
    projected = grades.get(row.els_essay_id)
    if row.is_anchor:
        grade = known_grade(row)
        # Not measured here: it is what the others are measured by.
        score, label = (1.0, "HIGH") if grade is not None else (0.0, "LOW")
    elif projected is not None:
        grade, score, label = projected.grade, projected.confidence.score, projected.confidence.label.value
    else:
        grade, score, label = None, 0.0, "LOW"
    letter = grade if grade is not None and _LETTER.fullmatch(grade) else UNGRADED
    return EssayResult(
        essay_id=row.els_essay_id,
        normalized_score=normalized(letter),
        letter_grade=letter,
        confidence_score=score,
        confidence_label=label,
        bt_score=row.bradley_terry_score or 0.0,
        rank=row.rank,
        is_anchor=row.is_anchor,
        display_name=f"ANCHOR GRADE {grade}" if row.is_anchor and grade is not None else None,
        grade=grade,
    )
