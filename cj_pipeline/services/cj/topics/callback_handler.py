"""This module takes a callback of the LPS from its bytes to its batch.

Only what the engine counts changes a batch; everything else is counted under its own name and kept aside.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from cj_pipeline.bus.protocol import Message
from cj_pipeline.contracts.callback import CallbackEvent, LLMComparisonResultV1, Rejection, parse_callback
from cj_pipeline.engine.effects import CallbackKind
from cj_pipeline.engine.intake import Delivery, MalformedCallback
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.services.cj.batch.steps import Steps
from cj_pipeline.services.cj.batch.stored_batch import StateCache, lock_batch
from cj_pipeline.services.cj.metrics import CjMetrics
from cj_pipeline.services.cj.store.database import Transaction
from cj_pipeline.services.cj.store.tables import comparison_pairs
from cj_pipeline.services.cj.topics.consumer import Quarantine

_log = logging.getLogger(__name__)

# Source services are the senders' own words; a handful of them is all that a label may have.
KNOWN_SOURCES = 20
_OTHER = "other"


@dataclass(frozen=True, slots=True)
class ReadCallback:
    """A message as it was read. started_s: on the loop's clock."""

    event: CallbackEvent | Rejection
    started_s: float


@dataclass(slots=True)
class CallbackHandler:
    """Takes callbacks in."""

    clock: LoopClock
    metrics: CjMetrics
    quarantine: Quarantine
    steps: Steps
    cache: StateCache
    sources: set[str]

    async def prepare(self, message: Message) -> ReadCallback:
        """Parse it."""
        return ReadCallback(parse_callback(message.value), self.clock.monotonic())

    async def apply(self, transaction: Transaction, message: Message, prepared: ReadCallback) -> None:
        """Deliver it to its batch, or keep it aside."""
        match prepared.event:
            case Rejection() as rejection:
                await self._malformed(transaction, message, rejection)
                sent_at, usable = None, False
            case event:
                await self._deliver(transaction, message, event)
                sent_at, usable = event.event_timestamp, True
        latency_s = None if sent_at is None else (self.clock.now() - sent_at).total_seconds()
        took_s = self.clock.monotonic() - prepared.started_s
        transaction.after_commit(
            lambda: self.metrics.callback_handled(usable=usable, latency_s=latency_s, took_s=took_s)
        )

    async def abandon(self, transaction: Transaction, message: Message) -> None:
        """Let its comparison fail, so that the batch need not wait for a callback that has come."""
        transaction.after_commit(lambda: self.metrics.callback_handled(usable=False, latency_s=None, took_s=0.0))
        correlation_id = _named_comparison(message.value)
        if correlation_id is not None:
            await self._take(transaction, correlation_id, MalformedCallback(correlation_id), {})

    async def _malformed(self, transaction: Transaction, message: Message, rejection: Rejection) -> None:
        """Keep a message that is no callback; its comparison fails, where it names one."""
        await self.quarantine.keep(transaction, message, f"malformed: {rejection.reason}", rejection.field)
        correlation_id = _named_comparison(message.value)
        if correlation_id is not None:
            await self._take(transaction, correlation_id, MalformedCallback(correlation_id), {})

    async def _deliver(self, transaction: Transaction, message: Message, event: CallbackEvent) -> None:
        kind = await self._take(transaction, event.data.correlation_id, event.data, _columns(event.data))
        if kind is CallbackKind.ORPHAN:
            source = self._source(event.source_service)
            transaction.after_commit(lambda: self.metrics.orphaned(source))
            _log.warning(
                "callback of '%s' at offset %d belongs to no comparison: correlation id %s",
                *(source, message.offset, event.data.correlation_id),
                extra={"correlation_id": str(event.data.correlation_id), "source_service": source},
            )
        if kind in (CallbackKind.ORPHAN, CallbackKind.DUPLICATE, CallbackKind.LATE):
            await self.quarantine.keep(transaction, message, kind.value)

    async def _take(
        self, transaction: Transaction, correlation_id: UUID, delivery: Delivery, columns: dict[str, Any]
    ) -> CallbackKind:
        pair = await transaction.first(
            select(comparison_pairs.c.cj_batch_id).where(
                comparison_pairs.c.request_correlation_id == str(correlation_id)
            )
        )
        batch = None if pair is None else await lock_batch(transaction, pair.cj_batch_id, self.cache)
        if batch is None:
            return CallbackKind.ORPHAN
        (taken,) = await self.steps.deliver(transaction, batch, [delivery], {correlation_id: columns})
        return taken.kind

    def _source(self, named: str) -> str:
        if named in self.sources or len(self.sources) < KNOWN_SOURCES:
            self.sources.add(named)
            return named
        return _OTHER


def _columns(result: LLMComparisonResultV1) -> dict[str, Any]:
    """Return what a callback says of its comparison, beside the verdict."""
    columns: dict[str, Any] = {
        "confidence": result.confidence,
        # PostgreSQL has no NUL in a text.
        "justification": None if result.justification is None else result.justification.replace("\x00", ""),
        "processing_metadata": {
            "provider": result.provider.value,
            "model": result.model,
            "response_time_ms": result.response_time_ms,
            "token_usage": result.token_usage.model_dump(),
            "cost_estimate": result.cost_estimate,
        },
    }
    if (error := result.error_detail) is not None:
        columns |= {
            "error_correlation_id": str(error.correlation_id),
            "error_timestamp": error.timestamp,
            "error_service": error.service[:100],
            "error_details": error.details,
        }
    return columns


def _named_comparison(value: bytes) -> UUID | None:
    """Return the comparison that an unusable message names, if it can be read that far."""
    try:
        return UUID(json.loads(value)["data"]["correlation_id"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
