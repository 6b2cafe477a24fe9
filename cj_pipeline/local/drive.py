"""This module asks a running stack for one batch, as the essay lifecycle service does, and waits for its end.

What the batch is compared with is in driven_batch.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import ValidationError

from cj_pipeline.bus.kafka.bus import KafkaBus
from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.bus.protocol import Subscription
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
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.local.content import CONTENT_PATH
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.runs.remote import Deployment, ServiceUnreachable, deployed
from cj_pipeline.runs.scenario_run import placeholder_text
from cj_pipeline.traces.scenario import Scenario

_SOURCE_SERVICE = "essay_lifecycle_service"
_OWNER = "cj-pipeline-stack"
_END_TOPICS = (CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC, ASSESSMENT_RESULT_TOPIC)

Report = Callable[[str], None]
_EventData = TypeVar("_EventData", CJAssessmentCompletedV1, CJAssessmentFailedV1, AssessmentResultV1)
_Completed = EventEnvelope[CJAssessmentCompletedV1]
_Failed = EventEnvelope[CJAssessmentFailedV1]
_Result = EventEnvelope[AssessmentResultV1]


class NotFinished(CjPipelineError):
    """A batch of which the CJ service has published no end in time."""


@dataclass(frozen=True, slots=True)
class StackAddress:
    """Where a running stack is reached. kafka: the cluster that both services use."""

    content_url: str
    lps_url: str
    kafka: KafkaSettings


@dataclass(frozen=True, slots=True)
class DriveRequest:
    """One batch. scenario_folder: of the scenario, whose net and settings the captured trace takes over.

    label: one label, one batch: ids and answers follow from it; output_dir: gets the captured trace as a new folder;
    timeout_s: seconds that the batch may take.
    """

    scenario: Scenario
    scenario_folder: Path
    mode: Mode
    label: str
    output_dir: Path
    timeout_s: float

    @property
    def bos_batch_id(self) -> str:
        """The batch's id on the stack."""
        return f"stack-{self.scenario.scenario_id}-{self.label}"

    @property
    def trace_id(self) -> str:
        """The scenario id of the captured trace."""
        return f"stack_{self.scenario.scenario_id}_{self.label}"


@dataclass(frozen=True, slots=True)
class StackAnswer:
    """What the CJ service published of a batch. result: None where it failed; failure: why it did, in its word."""

    result: AssessmentResultV1 | None
    failure: str | None


def assessment_request(request: DriveRequest, storage_ids: Mapping[str, str]) -> AssessmentRequestEvent:
    """Return the event that asks for the scenario's net, with what the wire can say of its judge and settings.

    storage_ids: of the stored texts, by essay id. The net's known grades are not sent: the CJ service takes grades from
    anchors that are registered with an assignment, and gives those ids of its own.
    """
    scenario, bos_batch_id = request.scenario, request.bos_batch_id
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
                provider_override=provider.name,
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


async def ask_stack(stack: StackAddress, request: DriveRequest, report: Report) -> StackAnswer:
    """Ask for the batch, and wait for its end.

    Raises NotFinished after the request's time, when the batch may still end; ServiceUnreachable where nobody answers.
    """
    deployment = Deployment(stack.lps_url, lambda: KafkaBus(stack.kafka), notice=report)
    async with deployed(deployment, request.mode, request.scenario.service.queue_processing_mode) as lps:
        storage_ids = await _stored(stack.content_url, scenario_texts(request.scenario))
        message = assessment_request(request, storage_ids).model_dump_json(exclude_none=True).encode()
        try:
            async with asyncio.timeout(request.timeout_s):
                readers = {topic: await lps.listen(topic) for topic in _END_TOPICS}
                await lps.bus.publish(ASSESSMENT_REQUEST_TOPIC, message, key=request.bos_batch_id.encode())
                return await _end(request.bos_batch_id, readers)
        except TimeoutError:
            raise NotFinished(
                f"{request.bos_batch_id}: nothing was published on '{CJ_COMPLETED_TOPIC}' or '{CJ_FAILED_TOPIC}' "
                f"within {request.timeout_s:g} s. Read the logs of the services: the stack printed where they are."
            ) from None


def scenario_texts(scenario: Scenario) -> dict[str, str]:
    """Return by essay id the text that an embedded run shows for each essay."""
    return {item.id: placeholder_text(item.id) for item in scenario.net.items}


async def _stored(content_url: str, texts: Mapping[str, str]) -> dict[str, str]:
    """Store the texts, and return their storage ids by essay id."""
    try:
        async with httpx.AsyncClient(base_url=content_url, trust_env=False) as client:
            answers = {essay: await client.post(CONTENT_PATH, content=text.encode()) for essay, text in texts.items()}
            return {essay: str(answer.raise_for_status().json()["storage_id"]) for essay, answer in answers.items()}
    except httpx.HTTPError as error:
        raise ServiceUnreachable(
            f"{content_url}: no content service answers there ({type(error).__name__}). Start a stack: "
            "cj-pipeline stack"
        ) from None


async def _end(batch: str, readers: Mapping[str, Subscription]) -> StackAnswer:
    completed = asyncio.create_task(_next_of(readers[CJ_COMPLETED_TOPIC], _Completed, batch))
    failed = asyncio.create_task(_next_of(readers[CJ_FAILED_TOPIC], _Failed, batch))
    try:
        await asyncio.wait([completed, failed], return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            reason = (failed.result().system_metadata.error_info or {}).get("reason", "unknown")
            return StackAnswer(None, str(reason))
        return StackAnswer(await _next_of(readers[ASSESSMENT_RESULT_TOPIC], _Result, batch), None)
    finally:
        for task in (completed, failed):
            task.cancel()
        await asyncio.wait([completed, failed])


async def _next_of(reader: Subscription, envelope: type[EventEnvelope[_EventData]], batch: str) -> _EventData:
    """Return the next event of a batch; the topic may be shared, so everything else on it is passed over."""
    while True:
        try:
            data = envelope.model_validate_json((await reader.next()).value).data
        except ValidationError:
            continue
        if (data.batch_id if isinstance(data, AssessmentResultV1) else data.entity_id) == batch:
            return data
