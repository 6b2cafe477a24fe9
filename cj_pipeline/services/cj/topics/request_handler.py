"""This module takes a request for an assessment from its bytes to its batch or its failure.

A request takes effect once by its event id, and once by its batch and correlation id.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from cj_pipeline.bus.protocol import Message
from cj_pipeline.contracts.callback import Rejection
from cj_pipeline.contracts.cj_events import CJ_FAILED_TOPIC
from cj_pipeline.contracts.els_request import AssessmentRequestEvent, parse_assessment_request
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.services.cj.batch.steps import Steps
from cj_pipeline.services.cj.intake.new_batch import create_batch
from cj_pipeline.services.cj.intake.preparation import Hopeless, Preparation, PreparedRequest
from cj_pipeline.services.cj.metrics import CjMetrics
from cj_pipeline.services.cj.results.events import failed_event
from cj_pipeline.services.cj.results.outbox import write_event
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Transaction
from cj_pipeline.services.cj.store.tables import processed_events
from cj_pipeline.services.cj.topics.consumer import Quarantine

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A message as it was read. started_s: on the loop's clock."""

    content: PreparedRequest | Hopeless | Rejection
    started_s: float


@dataclass(frozen=True, slots=True)
class RequestHandler:
    """Takes requests in."""

    settings: CjSettings
    clock: LoopClock
    metrics: CjMetrics
    quarantine: Quarantine
    preparation: Preparation
    steps: Steps

    async def prepare(self, message: Message) -> ReadRequest:
        """Parse it and fetch what it refers to."""
        started_s = self.clock.monotonic()
        event = parse_assessment_request(message.value)
        content = event if isinstance(event, Rejection) else await self.preparation.of(event)
        return ReadRequest(content, started_s)

    async def apply(self, transaction: Transaction, message: Message, prepared: ReadRequest) -> None:
        """Make the batch, or say why there is none."""
        match prepared.content:
            case Rejection() as rejection:
                await self.quarantine.keep(transaction, message, f"malformed: {rejection.reason}", rejection.field)
                transaction.after_commit(lambda: self.metrics.operation("intake", "failure"))
            case Hopeless() as hopeless:
                if await self._first_time(transaction, hopeless.event):
                    await self._refuse(transaction, hopeless)
            case request:
                if await self._first_time(transaction, request.event):
                    await self._create(transaction, request, prepared.started_s)

    async def abandon(self, transaction: Transaction, message: Message) -> None:
        """Publish the failure: the sender would otherwise wait for ever."""
        event = parse_assessment_request(message.value)
        if not isinstance(event, Rejection) and await self._first_time(transaction, event):
            await self._refuse(transaction, Hopeless(event, "internal_error"))

    async def _first_time(self, transaction: Transaction, event: AssessmentRequestEvent) -> bool:
        row = {"event_id": str(event.event_id), "processed_at": self.clock.now()}
        return await transaction.insert_unless_there(processed_events, row)

    async def _create(self, transaction: Transaction, request: PreparedRequest, started_s: float) -> None:
        created = await create_batch(transaction, request, self.steps, self.settings, self.clock)
        if created is None:
            return
        took_s = self.clock.monotonic() - started_s
        latency_s = (self.clock.now() - request.event.event_timestamp).total_seconds() - took_s
        transaction.after_commit(lambda: self.metrics.taken_in(took_s=took_s, latency_s=latency_s))
        transaction.after_commit(lambda: self.metrics.operation("intake", "success"))

    async def _refuse(self, transaction: Transaction, hopeless: Hopeless) -> None:
        event = hopeless.event
        _log.error("no batch can be made of a request: %s", hopeless.reason, extra={"event_id": str(event.event_id)})
        now = self.clock.now()
        await write_event(
            transaction,
            failed_event(
                entity_id=event.data.entity_id,
                parent_id=event.data.parent_id,
                job_id=None,
                now=now,
                reason=hopeless.reason,
                details=hopeless.details,
            ),
            aggregate_id=f"request-{event.event_id}",
            topic=CJ_FAILED_TOPIC,
            correlation_id=event.correlation_id,
            key=event.data.entity_id,
            now=now,
        )
        transaction.after_commit(lambda: self.metrics.operation("intake", "failure"))
        transaction.after_commit(self.steps.event_written)
