"""This module ends a batch, in the transaction of the step that ended it: scores, ranks, grades, statuses, events.

Everything is in one transaction: there is no moment at which a batch is complete and its scores, grades or events are
missing, and none at which another replica could end it a second time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from cj_pipeline.contracts.cj_events import (
    ASSESSMENT_RESULT_TOPIC,
    CJ_COMPLETED_TOPIC,
    CJ_FAILED_TOPIC,
    RESOURCE_CONSUMPTION_TOPIC,
)
from cj_pipeline.engine.effects import Finalize
from cj_pipeline.engine.grades.from_scores import scored_essays
from cj_pipeline.engine.grades.projection import ContextSource, GradeContext, Projection
from cj_pipeline.engine.grades.wire import grade_row, summary
from cj_pipeline.engine.scoring.diagnostics import BatchDiagnostics, Judgement, diagnose
from cj_pipeline.engine.scoring.rankings import BatchEssay, RankingRow, rankings
from cj_pipeline.engine.state import State, UploadStatus
from cj_pipeline.services.cj.batch.stored_batch import LockedBatch, essays_of, failure_details
from cj_pipeline.services.cj.metrics import CjMetrics
from cj_pipeline.services.cj.results.events import (
    Ended,
    completed_event,
    consumption_event,
    failed_event,
    result_event,
)
from cj_pipeline.services.cj.results.grading import Grader
from cj_pipeline.services.cj.results.outbox import trace_of, write_event
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Transaction
from cj_pipeline.services.cj.store.tables import (
    batch_uploads,
    comparison_pairs,
    grade_projections,
    processed_essays,
)


@dataclass(frozen=True, slots=True)
class Finalizer:
    """Ends batches."""

    settings: CjSettings
    metrics: CjMetrics
    grade: Grader

    async def finish(
        self, transaction: Transaction, batch: LockedBatch, state: State, effect: Finalize, now: datetime
    ) -> dict[str, Any]:
        """Write the end of a batch. Returns what its state's metadata gains. now: the end, aware."""
        transaction.after_commit(lambda: self.metrics.ended(state, (now - batch.created_at).total_seconds()))
        if effect.upload_status is UploadStatus.ERROR_PROCESSING:
            return await self._fail(transaction, batch, state, effect, now)
        return await self._publish(transaction, batch, state, effect, now)

    async def _fail(
        self, transaction: Transaction, batch: LockedBatch, state: State, effect: Finalize, now: datetime
    ) -> dict[str, Any]:
        details = failure_details(state)
        await _close(transaction, batch.cj_batch_id, UploadStatus.ERROR_PROCESSING, now)
        await write_event(
            transaction,
            failed_event(
                entity_id=batch.bos_batch_id,
                parent_id=batch.request.parent_id,
                job_id=batch.cj_batch_id,
                now=now,
                reason=effect.reason,
                details=details,
            ),
            aggregate_id=str(batch.cj_batch_id),
            topic=self.settings.cj_assessment_failed_topic,
            event_type=CJ_FAILED_TOPIC,
            correlation_id=UUID(batch.event_correlation_id),
            key=batch.bos_batch_id,
            now=now,
            trace=trace_of(batch.metadata.get("trace_context")),
        )
        transaction.after_commit(lambda: self.metrics.operation("finalize", "failure"))
        return {"failed_reason": {"reason": effect.reason, "timestamp": now.isoformat(), "details": details}}

    async def _publish(
        self, transaction: Transaction, batch: LockedBatch, state: State, effect: Finalize, now: datetime
    ) -> dict[str, Any]:
        essays = await essays_of(transaction, batch.cj_batch_id)
        compared = set(state.batch.items)
        judged, judge = await self._judgements(transaction, batch.cj_batch_id)
        diagnostics = diagnose(
            state.batch.items,
            judged,
            alpha=state.batch.settings.bt_alpha,
            thresholds=self.settings.flag_thresholds(),
        )
        rows = rankings([essay for essay in essays if essay.essay_id in compared], diagnostics)
        await self._store_scores(transaction, batch.cj_batch_id, rows, now)
        projection = self._project(batch, essays, diagnostics, compared)
        if projection is not None and projection.available:
            await self._store_grades(transaction, batch.cj_batch_id, projection, now)
        await _close(transaction, batch.cj_batch_id, effect.upload_status, now)
        ended = Ended(
            cj_batch_id=batch.cj_batch_id,
            bos_batch_id=batch.bos_batch_id,
            correlation_id=UUID(batch.event_correlation_id),
            request=batch.request,
            started_at=batch.created_at,
            ended_at=now,
            completed=state.completed,
            judge=judge or self._configured_judge(batch),
        )
        events = (
            (self.settings.assessment_result_topic, ASSESSMENT_RESULT_TOPIC, result_event(ended, rows, projection)),
            (self.settings.cj_assessment_completed_topic, CJ_COMPLETED_TOPIC, completed_event(ended, rows)),
            (RESOURCE_CONSUMPTION_TOPIC, RESOURCE_CONSUMPTION_TOPIC, consumption_event(ended)),
        )
        for topic, event_type, data in events:
            if data is not None:
                await write_event(
                    transaction,
                    data,
                    aggregate_id=str(batch.cj_batch_id),
                    topic=topic,
                    event_type=event_type,
                    correlation_id=ended.correlation_id,
                    key=batch.bos_batch_id,
                    now=now,
                    trace=trace_of(batch.metadata.get("trace_context")),
                )
        flags = diagnostics.quality_flags
        if judged:
            transaction.after_commit(
                lambda: self.metrics.scored(inflated=flags.bt_se_inflated, sparse=flags.comparison_coverage_sparse)
            )
        transaction.after_commit(lambda: self.metrics.operation("finalize", "success"))
        gained: dict[str, Any] = {
            "bt_scores": {row.els_essay_id: row.bradley_terry_score for row in rows},
            "bt_se_summary": diagnostics.se_summary.as_dict(),
            "bt_quality_flags": flags.as_dict(),
        }
        if effect.upload_status is UploadStatus.COMPLETE_FORCED_RECOVERY:
            gained["forced_to_scoring"] = {
                "timestamp": now.isoformat(),
                "progress_pct": 100.0 * state.progress,
                "reason": effect.reason,
            }
        if projection is not None:
            students = [essay for essay in essays if essay.essay_id in compared]
            gained["grade_projection_summary"] = summary(projection, scored_essays(students, diagnostics))
        return gained

    async def _judgements(
        self, transaction: Transaction, cj_batch_id: int
    ) -> tuple[list[Judgement], tuple[str, str] | None]:
        """Return the verdicts in the rows, and the judge of most of them."""
        found = await transaction.all(
            select(
                comparison_pairs.c.essay_a_els_id,
                comparison_pairs.c.essay_b_els_id,
                comparison_pairs.c.winner,
                comparison_pairs.c.processing_metadata,
            )
            .where(
                comparison_pairs.c.cj_batch_id == cj_batch_id,
                comparison_pairs.c.winner.in_(("essay_a", "essay_b")),
            )
            .order_by(comparison_pairs.c.id)
        )
        judged = []
        for row in found:
            by = row.processing_metadata or {}
            judge = (str(by["provider"]), str(by["model"])) if {"provider", "model"} <= by.keys() else None
            winner = row.essay_a_els_id if row.winner == "essay_a" else row.essay_b_els_id
            judged.append(Judgement(row.essay_a_els_id, row.essay_b_els_id, winner, judge))
        judges = Counter(answer.judge for answer in judged if answer.judge is not None)
        if not judges:
            return judged, None
        return judged, min(judges, key=lambda judge: (-judges[judge], judge))

    def _configured_judge(self, batch: LockedBatch) -> tuple[str, str]:
        overrides = batch.request.llm_config_overrides
        provider = overrides.provider_override or self.settings.default_llm_provider
        return provider.value, overrides.model_override or self.settings.default_llm_model

    def _project(
        self,
        batch: LockedBatch,
        essays: Sequence[BatchEssay],
        diagnostics: BatchDiagnostics,
        compared: set[str],
    ) -> Projection | None:
        if batch.request.grade_scale is None:
            return None
        context = GradeContext(batch.request.grade_scale, ContextSource.ASSIGNMENT)
        return self.grade([essay for essay in essays if essay.essay_id in compared], diagnostics, context)

    async def _store_scores(
        self, transaction: Transaction, cj_batch_id: int, rows: Sequence[RankingRow], now: datetime
    ) -> None:
        for row in rows:
            await transaction.execute(
                processed_essays.update()
                .where(
                    processed_essays.c.cj_batch_id == cj_batch_id,
                    processed_essays.c.els_essay_id == row.els_essay_id,
                )
                .values(
                    current_bt_score=row.bradley_terry_score,
                    current_bt_se=row.bradley_terry_se,
                    comparison_count=row.comparison_count,
                    updated_at=now.replace(tzinfo=None),
                )
            )

    async def _store_grades(
        self, transaction: Transaction, cj_batch_id: int, projection: Projection, now: datetime
    ) -> None:
        own = {"cj_batch_id": cj_batch_id, "created_at": now.replace(tzinfo=None)}
        graded = [own | grade_row(projection, grade) for grade in projection.grades]
        if graded:
            await transaction.execute(grade_projections.insert(), graded)


async def _close(transaction: Transaction, cj_batch_id: int, status: UploadStatus, now: datetime) -> None:
    naive = now.replace(tzinfo=None)
    await transaction.execute(
        batch_uploads.update()
        .where(batch_uploads.c.id == cj_batch_id)
        .values(status=status.value, updated_at=naive, completed_at=naive)
    )
