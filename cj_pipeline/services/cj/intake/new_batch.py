"""This module writes the rows of a new batch, and starts it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.els_request import (
    AssessmentRequestEvent,
    AssessmentRequestV1,
    BatchConfigOverrides,
    EnvelopeMetadata,
)
from cj_pipeline.contracts.enums import LLMBatchingMode
from cj_pipeline.engine.engine import start
from cj_pipeline.engine.state import Batch, State, UploadStatus
from cj_pipeline.engine.waves.batching import effective_mode, requested_mode
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.services.cj.batch.steps import Steps
from cj_pipeline.services.cj.batch.stored_batch import LockedBatch, counters_of
from cj_pipeline.services.cj.intake.preparation import PreparedRequest
from cj_pipeline.services.cj.intake.request_record import RequestRecord
from cj_pipeline.services.cj.results.outbox import trace_of
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Transaction
from cj_pipeline.services.cj.store.tables import batch_states, batch_uploads, processed_essays


async def create_batch(
    transaction: Transaction, prepared: PreparedRequest, steps: Steps, settings: CjSettings, clock: LoopClock
) -> int | None:
    """Make a batch and start it; its id, None when this very request has one already."""
    event, request = prepared.event, prepared.event.data
    same_batch = batch_uploads.c.bos_batch_id == request.entity_id
    known = await transaction.all(select(batch_uploads.c.event_correlation_id).where(same_batch))
    if any(row.event_correlation_id == str(event.correlation_id) for row in known):
        return None
    now = clock.now()
    naive = now.replace(tzinfo=None)
    record = record_of(prepared, settings)
    created = await transaction.execute(
        batch_uploads.insert()
        .values(
            bos_batch_id=request.entity_id,
            event_correlation_id=str(event.correlation_id),
            language=request.language,
            course_code=request.course_code,
            # What is there, not what was asked for: a guest's essay without a text is not waited for.
            expected_essay_count=len(prepared.essays),
            status=UploadStatus.PERFORMING_COMPARISONS.value,
            created_at=naive,
            updated_at=naive,
            processing_metadata={
                "student_prompt_storage_id": record.student_prompt_storage_id,
                "student_prompt_text": record.student_prompt_text,
                "judge_rubric_storage_id": record.judge_rubric_storage_id,
                "judge_rubric_text": record.judge_rubric_text,
                "original_request": record.model_dump(mode="json"),
            },
            assignment_id=request.assignment_id,
            user_id=request.user_id,
            org_id=request.org_id,
        )
        .returning(batch_uploads.c.id)
    )
    cj_batch_id: int = created.scalar_one()
    await transaction.execute(
        processed_essays.insert(),
        [
            {
                "cj_batch_id": cj_batch_id,
                "els_essay_id": essay.essay_id,
                "text_storage_id": essay.text_storage_id,
                "assessment_input_text": essay.text,
                "comparison_count": 0,
                "is_anchor": essay.is_anchor,
                "processing_metadata": {"is_anchor": essay.is_anchor, **essay.metadata},
                "created_at": naive,
                "updated_at": naive,
            }
            for essay in prepared.essays
        ],
    )
    essays = [essay.essay_id for essay in prepared.essays]
    batch = batch_of(event, essays, settings, cj_batch_id=cj_batch_id, earlier=len(known))
    pristine = State(batch=batch)
    metadata = _metadata(record, batch) | {"trace_context": trace_of(event.metadata)}
    await transaction.execute(
        batch_states.insert().values(batch_id=cj_batch_id, **counters_of(pristine, now), processing_metadata=metadata)
    )
    stored = LockedBatch(
        cj_batch_id=cj_batch_id,
        bos_batch_id=request.entity_id,
        event_correlation_id=str(event.correlation_id),
        created_at=now,
        request=record,
        metadata=metadata,
        state=pristine,
    )
    await steps.started(transaction, stored, start(batch))
    return cj_batch_id


def record_of(prepared: PreparedRequest, settings: CjSettings) -> RequestRecord:
    """Return what the batch keeps of its request."""
    event, request = prepared.event, prepared.event.data
    wanted, instructions = event.envelope_metadata(), prepared.instructions
    return RequestRecord(
        language=request.language,
        course_code=request.course_code,
        assignment_id=request.assignment_id,
        user_id=request.user_id,
        org_id=request.org_id,
        parent_id=request.parent_id,
        grade_scale=None if instructions is None else instructions.grade_scale,
        student_prompt_text=prepared.student_prompt_text,
        student_prompt_storage_id=prepared.student_prompt_storage_id,
        judge_rubric_text=prepared.judge_rubric_text,
        judge_rubric_storage_id=None if instructions is None else instructions.judge_rubric_storage_id,
        instructions_text=None if instructions is None else instructions.instructions_text,
        llm_config_overrides=judge_of(request, settings),
        batch_config_overrides=_asked_for(wanted),
        max_comparisons_override=wanted.max_comparisons,
        dropped_essay_ids=prepared.dropped_essay_ids,
    )


def _requested_mode(wanted: EnvelopeMetadata) -> LLMBatchingMode | None:
    overrides = wanted.batch_config_overrides
    return requested_mode(
        wanted.llm_batching_mode_hint, None if overrides is None else overrides.llm_batching_mode_override
    )


def _asked_for(wanted: EnvelopeMetadata) -> BatchConfigOverrides | None:
    """Return what the request changes of the way its batch is sent, its hint written where the override stands."""
    overrides = wanted.batch_config_overrides
    mode = _requested_mode(wanted)
    if mode is None:
        return overrides
    return (overrides or BatchConfigOverrides()).model_copy(update={"llm_batching_mode_override": mode})


def judge_of(request: AssessmentRequestV1, settings: CjSettings) -> LLMConfigOverrides:
    """Return who is asked, and how: what the request says, else the service's own."""
    asked = request.llm_config_overrides or LLMConfigOverrides()
    temperature = asked.temperature_override
    return LLMConfigOverrides(
        provider_override=asked.provider_override or settings.default_llm_provider,
        model_override=asked.model_override or settings.default_llm_model,
        # 0.0 is a temperature; "or" would make it the default.
        temperature_override=settings.default_llm_temperature if temperature is None else temperature,
        system_prompt_override=asked.system_prompt_override or settings.system_prompt,
        max_tokens_override=asked.max_tokens_override,
        reasoning_effort=asked.reasoning_effort,
        output_verbosity=asked.output_verbosity,
    )


def batch_of(
    event: AssessmentRequestEvent, essay_ids: Iterable[str], settings: CjSettings, *, cj_batch_id: int, earlier: int = 0
) -> Batch:
    """Return the engine's batch of a request: every id that it will use follows from the request and the settings.

    essay_ids: of essays and anchors that have a text; earlier: batches of the same BOS id, each of which needs
    correlation ids of its own.
    """
    request = event.data
    wanted, engine = event.envelope_metadata(), settings.engine()
    asked = request.llm_config_overrides
    if settings.pair_generation_seed is None:
        seed = keyed_uuid("cj-batch", str(event.correlation_id))
    else:
        seed = keyed_uuid("cj-batch", settings.pair_generation_seed, request.entity_id, earlier)
    return Batch(
        bos_batch_id=request.entity_id,
        cj_batch_id=cj_batch_id,
        items=tuple(sorted(essay_ids)),
        settings=engine,
        seed=seed.int >> 64,
        max_pairs_requested=wanted.max_comparisons,
        resolved_batching_mode=effective_mode(
            engine,
            _requested_mode(wanted),
            provider_override=None if asked is None else asked.provider_override,
            default_provider=settings.default_llm_provider,
        ),
    )


def _metadata(record: RequestRecord, batch: Batch) -> dict[str, Any]:
    document = record.model_dump(mode="json")
    requested = batch.max_pairs_requested
    return {
        "original_request": document,
        "comparison_budget": {
            "max_pairs_requested": batch.total_budget,
            "source": "service_default" if requested is None else "runner_override",
        },
        "config_overrides": {"batch_size": record.batch_size},
        "llm_overrides": document["llm_config_overrides"],
        "llm_batching_mode": batch.batching_mode.value,
    }
