"""This module publishes usage events for accounting: a request's turn began, and how it ended.

Callbacks are kept until the bus has them; a usage event that cannot be published is counted and dropped.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from typing import Any

from cj_pipeline.bus.protocol import Bus, Outgoing
from cj_pipeline.contracts.answer import Failure
from cj_pipeline.contracts.reasons import BILLED, EXPLANATIONS, PRICE, REASON, TOOK, Reason
from cj_pipeline.contracts.topics import (
    LPS_SOURCE_SERVICE,
    USAGE_COMPLETED_EVENT_TYPE,
    USAGE_COMPLETED_TOPIC,
    USAGE_FAILURE_EVENT_TYPE,
    USAGE_FAILURE_TOPIC,
    USAGE_STARTED_EVENT_TYPE,
    USAGE_STARTED_TOPIC,
)
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.services.lps.metrics import LpsMetrics
from cj_pipeline.services.lps.queue.queue import OUTGOING_BATCH
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest
from cj_pipeline.services.lps.work.callbacks import Outcome

_log = logging.getLogger(__name__)

# About 5 MB. A bus that is this far behind is down, and accounting can be had from the callbacks.
MOST_WAITING = 10_000


class UsageEvents:
    """The line of usage events of one service."""

    def __init__(self, bus: Bus, clock: LoopClock, metrics: LpsMetrics) -> None:
        self._bus = bus
        self._clock = clock
        self._metrics = metrics
        self._line: deque[Outgoing] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def started(self, request: QueuedRequest) -> None:
        """A request's turn begins."""
        self._add(
            USAGE_STARTED_TOPIC,
            USAGE_STARTED_EVENT_TYPE,
            request,
            # Of the request's own metadata nothing: it may name essays.
            {"user_id": request.request.user_id, "metadata": {}},
        )

    def ended(self, request: QueuedRequest, outcome: Outcome, *, circuit_open: bool = False) -> None:
        """A request is over: it was answered, or there is no answer.

        circuit_open: whether its provider is now left alone for a while.
        """
        if isinstance(outcome, Failure):
            self._add(
                USAGE_FAILURE_TOPIC, USAGE_FAILURE_EVENT_TYPE, request, _failure(outcome, circuit_open=circuit_open)
            )
            return
        data = {
            "success": True,
            "response_time_ms": outcome.response_time_ms,
            "token_usage": outcome.token_usage.model_dump(),
            "cost_estimate": outcome.cost_estimate,
        }
        self._add(USAGE_COMPLETED_TOPIC, USAGE_COMPLETED_EVENT_TYPE, request, data)

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            while not self._line:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            await self.flush()

    async def flush(self) -> None:
        """Publish what is in the line now."""
        while self._line:
            batch = [self._line.popleft() for _ in range(min(OUTGOING_BATCH, len(self._line)))]
            for error in await self._bus.publish_all(batch):
                if error is not None:
                    self._dropped(type(error).__name__)

    def _add(self, topic: str, event_type: str, request: QueuedRequest, data: dict[str, Any]) -> None:
        if len(self._line) >= MOST_WAITING:
            self._line.popleft()
            self._dropped("the line is full")
        event = {
            "event_id": str(keyed_uuid("lps", event_type, str(request.correlation_id), request.attempts)),
            "event_type": event_type,
            "event_timestamp": self._clock.now().isoformat().replace("+00:00", "Z"),
            "source_service": LPS_SOURCE_SERVICE,
            "schema_version": 1,
            "correlation_id": str(request.correlation_id),
            "data_schema_uri": None,
            "data": {
                "request_id": str(request.queue_id),
                "correlation_id": str(request.correlation_id),
                "provider": request.provider.value,
                # The mock stands in for the requested provider under USE_MOCK_LLM.
                "answered_by": request.resolved_provider.value,
                "model": request.overrides.model_override,
                "request_type": "comparison",
                "attempt": request.attempts,
                **data,
            },
            "metadata": request.trace.headers(),
        }
        self._line.append(Outgoing(topic, request.batch_key().encode(), json.dumps(event).encode()))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _dropped(self, why: str) -> None:
        self._metrics.usage_event_dropped()
        _log.warning("a usage event was dropped: %s", why)


def _failure(failure: Failure, *, circuit_open: bool) -> dict[str, Any]:
    """Return what a failure event says. Its words come from our own table, never from a reply."""
    reason = failure.details.get(REASON)
    # A mode of the mock may call a reason anything.
    known = Reason(reason) if reason in set(Reason) else None
    data: dict[str, Any] = {
        "failure_type": failure.code.value.lower() if known is None else known.value,
        "error_details": "no reason is known" if known is None else EXPLANATIONS[known].meaning,
        "circuit_breaker_opened": circuit_open,
        "error_code": failure.code.value,
        "retryable": failure.retryable,
    }
    return data | {key: failure.details[key] for key in (REASON, TOOK, BILLED, PRICE) if key in failure.details}
