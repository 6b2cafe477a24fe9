"""A batch through a whole deployed stack: asked for on Kafka as the essay lifecycle service asks, and waited for.

Here: the texts, the request's event, and what the CJ service publishes in the end. Not here: reading the callbacks
(collect.py), what they are compared with (verdict.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from pydantic import ValidationError

from cj_pipeline.bus.protocol import Bus, Subscription
from cj_pipeline.contracts.callback import EventEnvelope
from cj_pipeline.contracts.cj_events import (
    ASSESSMENT_RESULT_TOPIC,
    CJ_COMPLETED_TOPIC,
    CJ_FAILED_TOPIC,
    AssessmentResultV1,
    CJAssessmentCompletedV1,
    CJAssessmentFailedV1,
)
from cj_pipeline.contracts.els_request import (
    ASSESSMENT_REQUEST_TOPIC,
    AssessmentOverrides,
    AssessmentRequestEvent,
    AssessmentRequestV1,
    EssayReference,
)
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.local.content import CONTENT_PATH
from cj_pipeline.local.stack_file import StackPlan
from cj_pipeline.runs.scenario_run import placeholder_text
from cj_pipeline.traces.scenario import Scenario

_SOURCE_SERVICE = "essay_lifecycle_service"
_OWNER = "cj-pipeline-stack"


class NotFinished(CjPipelineError):
    """A batch of which the CJ service has published no end in time."""


@dataclass(frozen=True, slots=True)
class Driven:
    """A batch that is over. result: None where it failed; failure: why it did, in the service's word."""

    request: AssessmentRequestEvent
    cj_batch_id: int
    result: AssessmentResultV1 | None
    failure: str | None


def scenario_texts(scenario: Scenario) -> dict[str, str]:
    """What stands for each essay's text, by essay id: the words that an embedded run puts there."""
    return {item.id: placeholder_text(item.id) for item in scenario.net.items}


def batch_id_of(scenario: Scenario, label: str) -> str:
    """Of one batch on the stack. One label, one batch: ids and answers follow from it."""
    return f"stack-{scenario.scenario_id}-{label}"


def request_of(scenario: Scenario, bos_batch_id: str, storage_ids: Mapping[str, str]) -> AssessmentRequestEvent:
    """The event that asks for the scenario's net, with what the wire can say of its judge and settings.

    storage_ids: of the stored texts, by essay id. The net's known grades are not sent: the CJ service takes grades from
    anchors that are registered with an assignment, and gives those ids of its own.
    """
    engine, provider = scenario.engine, scenario.provider
    event_id = keyed_uuid("stack-request", bos_batch_id)
    return AssessmentRequestEvent(
        event_id=event_id,
        event_type=ASSESSMENT_REQUEST_TOPIC,
        event_timestamp=utc_now(),
        source_service=_SOURCE_SERVICE,
        # The seed of the batch, and with it every correlation id, follows from this one.
        correlation_id=keyed_uuid("stack-correlation", bos_batch_id),
        data=AssessmentRequestV1(
            entity_id=bos_batch_id,
            essays_for_cj=tuple(
                EssayReference(essay_id=item.id, text_storage_id=storage_ids[item.id]) for item in scenario.net.items
            ),
            language="en",
            course_code="ENG5",
            user_id=_OWNER,
            llm_config_overrides=AssessmentOverrides(
                provider_override=Provider.MOCK,
                model_override=provider.model,
                temperature_override=provider.temperature,
                reasoning_effort=provider.reasoning_effort,
                output_verbosity=provider.output_verbosity,
            ),
        ),
        metadata={
            "max_comparisons": engine.max_pairwise_comparisons,
            "batch_config_overrides": {"llm_batching_mode_override": engine.llm_batching_mode.value},
        },
    )


async def drive(
    plan: StackPlan,
    scenario: Scenario,
    bos_batch_id: str,
    bus: Bus,
    *,
    timeout_s: float,
) -> Driven:
    """Store the texts, ask for the batch, and wait for its end.

    Raises NotFinished after timeout_s seconds; the batch may still end after that.
    """
    request = request_of(scenario, bos_batch_id, await _stored(plan, scenario_texts(scenario)))
    topics = (CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC, ASSESSMENT_RESULT_TOPIC)
    message = request.model_dump_json(exclude_none=True).encode()
    try:
        async with asyncio.timeout(timeout_s):
            readers = {topic: bus.subscribe(topic, await bus.end(topic)) for topic in topics}
            await bus.publish(ASSESSMENT_REQUEST_TOPIC, message, key=bos_batch_id.encode())
            return await _end(request, readers)
    except TimeoutError:
        raise NotFinished(
            f"{bos_batch_id}: nothing was published on '{CJ_COMPLETED_TOPIC}' or '{CJ_FAILED_TOPIC}' within "
            f"{timeout_s:g} s. What the services say is in their logs: cj-pipeline stack status"
        ) from None


async def _stored(plan: StackPlan, texts: Mapping[str, str]) -> dict[str, str]:
    """Storage ids by essay id."""
    async with httpx.AsyncClient(base_url=plan.url("content"), trust_env=False) as client:
        answers = {essay: await client.post(CONTENT_PATH, content=text.encode()) for essay, text in texts.items()}
    return {essay: str(answer.raise_for_status().json()["storage_id"]) for essay, answer in answers.items()}


async def _end(request: AssessmentRequestEvent, readers: Mapping[str, Subscription]) -> Driven:
    batch = request.data.entity_id
    completed = asyncio.create_task(_completed(readers[CJ_COMPLETED_TOPIC], batch))
    failed = asyncio.create_task(_failed(readers[CJ_FAILED_TOPIC], batch))
    try:
        await asyncio.wait([completed, failed], return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            event = failed.result()
            reason = event.system_metadata.get("error_info", {}).get("reason", "unknown")
            job = event.cj_assessment_job_id
            return Driven(request, int(job) if job.isdigit() else 0, None, str(reason))
        job = completed.result().cj_assessment_job_id
        result = await _result(readers[ASSESSMENT_RESULT_TOPIC], batch)
        return Driven(request, int(job), result, None)
    finally:
        for task in (completed, failed):
            task.cancel()
        await asyncio.wait([completed, failed])


async def _completed(reader: Subscription, batch: str) -> CJAssessmentCompletedV1:
    while True:
        try:
            event = EventEnvelope[CJAssessmentCompletedV1].model_validate_json((await reader.next()).value)
        except ValidationError:
            continue  # the topics may be shared
        if event.data.entity_id == batch:
            return event.data


async def _failed(reader: Subscription, batch: str) -> CJAssessmentFailedV1:
    while True:
        try:
            event = EventEnvelope[CJAssessmentFailedV1].model_validate_json((await reader.next()).value)
        except ValidationError:
            continue
        if event.data.entity_id == batch:
            return event.data


async def _result(reader: Subscription, batch: str) -> AssessmentResultV1:
    while True:
        try:
            event = EventEnvelope[AssessmentResultV1].model_validate_json((await reader.next()).value)
        except ValidationError:
            continue
        if event.data.batch_id == batch:
            return event.data
