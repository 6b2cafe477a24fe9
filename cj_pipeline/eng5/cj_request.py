"""This module makes the event that asks a CJ service for a batch, as the runner publishes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cj_pipeline.contracts.els_request import (
    ASSESSMENT_REQUEST_TOPIC,
    AssessmentOverrides,
    AssessmentRequestEvent,
    AssessmentRequestV1,
    EssayReference,
)
from cj_pipeline.eng5.design import CANONICAL
from cj_pipeline.eng5.facts import RunIdentity
from cj_pipeline.eng5.options import RunnerOptions, text_of
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.runs.recording.prompts import load_prompt

SOURCE_SERVICE = "eng5_np_batch_runner"


def assessment_request(
    options: RunnerOptions, identity: RunIdentity, storage_ids: Mapping[str, str]
) -> AssessmentRequestEvent:
    """Return the event. storage_ids: of the stored texts, by the id under which an essay is compared.

    The service adds the anchors of the assignment. A test of anchors names no assignment: its anchors are sent as
    students' essays, which gives them no grade and no prompt.
    """
    test = options.mode.anchors_only
    metadata: dict[str, Any] = {"runner_mode": options.mode.value, "batch_label": options.batch_id}
    if options.max_comparisons is not None:
        metadata["max_comparisons"] = options.max_comparisons
    if options.batching_mode is not None:
        metadata["llm_batching_mode_hint"] = options.batching_mode.value
    assignment = None if test or options.assignment_id is None else str(options.assignment_id)
    return AssessmentRequestEvent(
        event_id=keyed_uuid("eng5 request", str(identity.batch_uuid)),
        event_type=ASSESSMENT_REQUEST_TOPIC,
        event_timestamp=identity.began_at,
        source_service=SOURCE_SERVICE,
        correlation_id=identity.correlation_id,
        data=AssessmentRequestV1(
            entity_id=str(identity.batch_uuid),
            essays_for_cj=tuple(
                EssayReference(essay_id=essay, text_storage_id=storage)
                for essay, storage in sorted(storage_ids.items())
            ),
            language=options.language,
            course_code=options.course_code,
            llm_config_overrides=_overrides(options),
            assignment_id=assignment,
            user_id=options.user_id,
            org_id=options.org_id,
        ),
        metadata=metadata,
    )


def _overrides(options: RunnerOptions) -> AssessmentOverrides:
    """Return whom the CJ service is to ask. A test of anchors has the prompts of files, or none."""
    asked = options.overrides().model_dump(exclude_none=True)
    if options.provider is None and options.model is None:
        asked.pop("provider_override", None)  # as the service is set
    system = None if options.system_prompt is None else text_of(options.system_prompt, "system_prompt")
    if system is None and options.canonical_prompt and not options.mode.anchors_only:
        system = load_prompt(CANONICAL).system.strip()
    rubric = None if options.rubric is None else text_of(options.rubric, "rubric")
    return AssessmentOverrides.model_validate(
        {**asked, "system_prompt_override": system, "judge_rubric_override": rubric}
    )
