"""This module asks a deployed CJ service for one batch, as the essay lifecycle service does, and waits for its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import httpx
from pydantic import ValidationError

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
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC, AssessmentRequestEvent
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.runs.remote import Deployed, ServiceUnreachable

END_TOPICS = (CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC, ASSESSMENT_RESULT_TOPIC)

_EventData = TypeVar("_EventData", CJAssessmentCompletedV1, CJAssessmentFailedV1, AssessmentResultV1)
_Completed = EventEnvelope[CJAssessmentCompletedV1]
_Failed = EventEnvelope[CJAssessmentFailedV1]
_Result = EventEnvelope[AssessmentResultV1]


class NotFinished(CjPipelineError):
    """A batch of which the CJ service has published no end in time."""


@dataclass(frozen=True, slots=True)
class CjAnswer:
    """What the CJ service published of a batch.

    result, completed: None where it failed; failure: why it did, in its word.
    """

    result: AssessmentResultV1 | None
    failure: str | None
    completed: CJAssessmentCompletedV1 | None = None


async def store_texts(content_url: str, texts: Mapping[str, str]) -> dict[str, str]:
    """Store texts with the content service, and return their storage ids by essay id. Raises ServiceUnreachable.

    content_url: where it takes texts, as `http://HOST:PORT/v1/content`.
    """
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            answers = {essay: await client.post(content_url, content=text.encode()) for essay, text in texts.items()}
            return {essay: str(answer.raise_for_status().json()["storage_id"]) for essay, answer in answers.items()}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise ServiceUnreachable(
            f"{content_url}: no content service answers there ({type(error).__name__}). Start a stack: "
            "cj-pipeline stack"
        ) from None


async def ask_cj(lps: Deployed, event: AssessmentRequestEvent, timeout_s: float) -> CjAnswer:
    """Publish the request on the bus of a deployment, and wait for the end of its batch.

    Raises NotFinished after the time, when the batch may still end.
    """
    batch = event.data.entity_id
    try:
        async with asyncio.timeout(timeout_s):
            readers = {topic: await lps.listen(topic) for topic in END_TOPICS}
            message = event.model_dump_json(exclude_none=True).encode()
            await lps.bus.publish(ASSESSMENT_REQUEST_TOPIC, message, key=batch.encode())
            return await end_of_batch(batch, readers)
    except TimeoutError:
        raise NotFinished(
            f"{batch}: nothing was published on '{CJ_COMPLETED_TOPIC}' or '{CJ_FAILED_TOPIC}' within {timeout_s:g} s. "
            "Read the logs of the services; is the CJ service on this bus?"
        ) from None


async def end_of_batch(batch: str, readers: Mapping[str, Subscription]) -> CjAnswer:
    """Return what the CJ service publishes of a batch. readers: of each of END_TOPICS, from before it was asked for."""
    completed = asyncio.create_task(_next_of(readers[CJ_COMPLETED_TOPIC], _Completed, batch))
    failed = asyncio.create_task(_next_of(readers[CJ_FAILED_TOPIC], _Failed, batch))
    try:
        await asyncio.wait([completed, failed], return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            reason = (failed.result().system_metadata.error_info or {}).get("reason", "unknown")
            return CjAnswer(None, str(reason))
        return CjAnswer(await _next_of(readers[ASSESSMENT_RESULT_TOPIC], _Result, batch), None, completed.result())
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
