"""This module writes events in the transactions that make them true, and hands them over to the bus.

Once per batch and event type: a second row is refused by its key, so a batch that ends twice is published once.

Events of one batch leave in the order in which they were written. An event is marked in the transaction that handed it
over, so a crash in between publishes it again, under the same event id; production's own relay does the same. One that
the bus does not take is tried again for as long as it takes, for nothing else would ever tell of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from cj_pipeline.bus.protocol import Bus, Outgoing
from cj_pipeline.contracts.cj_events import CJ_SOURCE_SERVICE
from cj_pipeline.contracts.model import WireModel
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Database, Transaction, is_away
from cj_pipeline.services.cj.store.tables import event_outbox

_log = logging.getLogger(__name__)

# While the bus is asked, other transactions of this database wait for SQLite's lock, the health check's too.
_PATIENCE_S = 2.0

TRACE_KEYS = ("traceparent", "tracestate", "baggage")
"""https://www.w3.org/TR/trace-context/, https://www.w3.org/TR/baggage/"""


async def write_event(
    transaction: Transaction,
    data: WireModel,
    *,
    aggregate_id: str,
    topic: str,
    correlation_id: UUID,
    key: str,
    now: datetime,
    trace: Mapping[str, str] | None = None,
    event_type: str | None = None,
) -> bool:
    """Write an event to be published after the commit; False when this aggregate has one of its type already.

    The event id follows from aggregate and type, so a repetition is one for its readers too. trace: the context that
    the request brought, as `trace_of` reads it. event_type: the topic's name, unless the topic has another here.
    """
    event_type = event_type or topic
    envelope: dict[str, Any] = {
        "event_id": str(keyed_uuid("cj-event", aggregate_id, event_type, str(correlation_id))),
        "event_type": event_type,
        "event_timestamp": now.isoformat(),
        "source_service": CJ_SOURCE_SERVICE,
        "schema_version": 1,
        "correlation_id": str(correlation_id),
        "data_schema_uri": None,
        "metadata": dict(trace) if trace else None,
        "data": data.model_dump(mode="json"),
    }
    return await transaction.insert_unless_there(
        event_outbox,
        {
            "aggregate_id": aggregate_id,
            "aggregate_type": "cj_batch",
            "event_type": event_type,
            "event_data": envelope,
            "event_key": key,
            "topic": topic,
            "created_at": now,
            "retry_count": 0,
        },
    )


class OutboxRelay:
    """Publishes what is in the outbox, whenever it is woken."""

    def __init__(self, database: Database, bus: Bus, clock: LoopClock, settings: CjSettings) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._settings = settings
        # By row: what the bus was handed and has not answered for yet. Handing it over again would double it.
        self._under_way: dict[int, asyncio.Task[list[Exception | None]]] = {}
        self._woken = asyncio.Event()
        self._woken.set()  # what a process before this one left behind

    def wake(self) -> None:
        """There may be something to publish."""
        self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled; without a timer while there is nothing to do."""
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                await self._publish_all()
        finally:
            for task in self._under_way.values():
                task.cancel()

    async def _publish_all(self) -> None:
        """Publish until nothing is left, for as long as it takes."""
        while True:
            try:
                left = await self.publish_some()
            except Exception as error:
                if not is_away(error):
                    raise
                _log.error("the outbox cannot be read: %s", type(error).__name__)
                left = None
            if left is None:
                await asyncio.sleep(self._settings.outbox_poll_interval_seconds)
            elif not left:
                return

    async def publish_some(self) -> bool | None:
        """Publish one batch of events. Whether there may be more; None when the bus did not take one."""
        async with self._database.transaction() as transaction:
            rows = await transaction.all(
                select(event_outbox)
                .where(event_outbox.c.published_at.is_(None))
                .order_by(event_outbox.c.id)
                .limit(self._settings.outbox_batch_size)
                # Not SKIP LOCKED: another replica could overtake with the second event of a batch.
                .with_for_update()
            )
            self._forget_before(min((row.id for row in rows), default=None))
            refused: set[str] = set()
            for turn in _turns(rows):
                trying = [row for row in turn if row.aggregate_id not in refused]
                for row, error in zip(trying, await asyncio.gather(*map(self._publish, trying)), strict=True):
                    values: dict[str, Any] = {"published_at": self._clock.now()}
                    if error is not None:
                        refused.add(row.aggregate_id)
                        values = {"retry_count": row.retry_count + 1, "last_error": error}
                    await transaction.execute(event_outbox.update().where(event_outbox.c.id == row.id).values(**values))
        return None if refused else len(rows) == self._settings.outbox_batch_size

    def _forget_before(self, first: int | None) -> None:
        """Drop what is over and in no row that is left: another replica has marked it meanwhile."""
        over = [row for row, task in self._under_way.items() if task.done() and (first is None or row < first)]
        for row in over:
            del self._under_way[row]

    async def _publish(self, row: Row[Any]) -> str | None:
        """None once the bus has it, else the kind of error."""
        task = self._under_way.get(row.id)
        if task is None:
            value = json.dumps(row.event_data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
            message = Outgoing(row.topic, row.event_key.encode(), value, _headers(row.event_data))
            task = self._under_way[row.id] = asyncio.create_task(self._bus.publish_all([message]))
        await asyncio.wait([task], timeout=_PATIENCE_S)
        if not task.done():
            _log.warning("event %s is not confirmed by '%s' yet", row.id, row.topic)
            return TimeoutError.__name__
        del self._under_way[row.id]
        error = task.exception() or task.result()[0]
        if error is None:
            return None
        _log.error("event %s cannot be published to '%s': %s", row.id, row.topic, type(error).__name__)
        return type(error).__name__


def trace_of(metadata: object) -> dict[str, str] | None:
    """Return the W3C trace context among an envelope's metadata; None where it has none."""
    if not isinstance(metadata, Mapping):
        return None
    return {key: str(metadata[key]) for key in TRACE_KEYS if isinstance(metadata.get(key), str)} or None


def _headers(envelope: Mapping[str, Any]) -> tuple[tuple[str, bytes], ...]:
    """Return what consumers read without the body: the event's id and type, and its trace."""
    named = {key: str(envelope[key]) for key in ("event_id", "event_type")} | (trace_of(envelope.get("metadata")) or {})
    return tuple((key, value.encode()) for key, value in named.items())


def _turns(rows: Sequence[Row[Any]]) -> Iterator[list[Row[Any]]]:
    """Yield the first event of every aggregate, then the second of each, and so on.

    One at a time, a bus that is away would cost its patience once for each of a hundred batches.
    """
    waiting: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        waiting[row.aggregate_id].append(row)
    for turn in zip_longest(*waiting.values()):
        yield [row for row in turn if row is not None]
