"""This module takes a request for an assessment from its bytes to its batch or its failure.

A request takes effect once by its event id, and once by its batch and correlation id. One that cannot be used gets a
failed event as soon as it says which batch it is about, and a line in the log in any case.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from cj_pipeline.bus.protocol import Message
from cj_pipeline.contracts.callback import Rejection
from cj_pipeline.contracts.cj_events import CJ_FAILED_TOPIC
from cj_pipeline.contracts.els_request import AssessmentRequestEvent, RefusedRequest, parse_assessment_request
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.services.cj.batch.steps import Steps
from cj_pipeline.services.cj.intake.new_batch import create_batch
from cj_pipeline.services.cj.intake.preparation import Hopeless, Preparation, PreparedRequest
from cj_pipeline.services.cj.metrics import CjMetrics
from cj_pipeline.services.cj.results.events import failed_event
from cj_pipeline.services.cj.results.outbox import trace_of, write_event
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Transaction
from cj_pipeline.services.cj.store.tables import processed_events
from cj_pipeline.services.cj.topics.consumer import Quarantine

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A message as it was read. started_s: on the loop's clock."""

    content: PreparedRequest | Hopeless | RefusedRequest | Rejection
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
        content = await self.preparation.of(event) if isinstance(event, AssessmentRequestEvent) else event
        return ReadRequest(content, started_s)

    async def apply(self, transaction: Transaction, message: Message, prepared: ReadRequest) -> None:
        """Make the batch, or say why there is none."""
        match prepared.content:
            case Rejection() as rejection:
                await self._keep(transaction, message, rejection)
                _log.error(
                    "message %d of '%s', partition %d, names no batch and cannot be used: %s (field %s)",
                    *(message.offset, message.topic, message.partition, rejection.reason, rejection.field or "-"),
                )
                transaction.after_commit(lambda: self.metrics.operation("intake", "failure"))
            case RefusedRequest(rejection=rejection) as refused:
                await self._keep(transaction, message, rejection)
                if await self._first_time(transaction, refused.event_id):
                    details = {"field": rejection.field, "problem": rejection.reason}
                    await self._refuse(transaction, _Sender.of(refused), "malformed_request", details)
            case Hopeless() as hopeless:
                if await self._first_time(transaction, hopeless.event.event_id):
                    await self._refuse(transaction, _Sender.of(hopeless.event), hopeless.reason, hopeless.details)
            case request:
                if await self._first_time(transaction, request.event.event_id):
                    await self._create(transaction, request, prepared.started_s)

    async def abandon(self, transaction: Transaction, message: Message) -> None:
        """Publish the failure: the sender would otherwise wait for ever."""
        event = parse_assessment_request(message.value)
        if not isinstance(event, Rejection) and await self._first_time(transaction, event.event_id):
            await self._refuse(transaction, _Sender.of(event), "internal_error", {})

    async def _keep(self, transaction: Transaction, message: Message, rejection: Rejection) -> None:
        await self.quarantine.keep(transaction, message, f"malformed: {rejection.reason}", rejection.field)

    async def _first_time(self, transaction: Transaction, event_id: UUID) -> bool:
        row = {"event_id": str(event_id), "processed_at": self.clock.now()}
        return await transaction.insert_unless_there(processed_events, row)

    async def _create(self, transaction: Transaction, request: PreparedRequest, started_s: float) -> None:
        created = await create_batch(transaction, request, self.steps, self.settings, self.clock)
        if created is None:
            return
        for name in request.event.ignored_metadata:
            _log.warning(
                "batch %s, correlation id %s: metadata '%s' is no whole number above 0 and is ignored",
                *(request.event.data.entity_id, request.event.correlation_id, name),
            )
        took_s = self.clock.monotonic() - started_s
        latency_s = (self.clock.now() - request.event.event_timestamp).total_seconds() - took_s
        transaction.after_commit(lambda: self.metrics.taken_in(took_s=took_s, latency_s=latency_s))
        transaction.after_commit(lambda: self.metrics.operation("intake", "success"))

    async def _refuse(
        self, transaction: Transaction, sender: _Sender, reason: str, details: Mapping[str, object]
    ) -> None:
        _log.error(
            "batch %s, correlation id %s: no batch can be made of the request: %s%s",
            *(sender.entity_id, sender.correlation_id, reason, f" {dict(details)}" if details else ""),
        )
        now = self.clock.now()
        await write_event(
            transaction,
            failed_event(
                entity_id=sender.entity_id,
                parent_id=sender.parent_id,
                job_id=None,
                now=now,
                reason=reason,
                details=details,
            ),
            aggregate_id=f"request-{sender.event_id}",
            topic=self.settings.cj_assessment_failed_topic,
            event_type=CJ_FAILED_TOPIC,
            correlation_id=sender.correlation_id,
            key=sender.entity_id,
            now=now,
            trace=trace_of(sender.metadata),
        )
        transaction.after_commit(lambda: self.metrics.operation("intake", "failure"))
        transaction.after_commit(self.steps.event_written)


@dataclass(frozen=True, slots=True)
class _Sender:
    """Whom a failed event is for."""

    event_id: UUID
    correlation_id: UUID
    entity_id: str
    parent_id: str | None
    metadata: object

    @classmethod
    def of(cls, request: AssessmentRequestEvent | RefusedRequest) -> _Sender:
        """Return the sender of a request, whether it can be used or not."""
        about = request if isinstance(request, RefusedRequest) else request.data
        return cls(request.event_id, request.correlation_id, about.entity_id, about.parent_id, request.metadata)
