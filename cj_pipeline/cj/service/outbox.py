"""Events on their way out.

Here: writing an event in the transaction that makes it true, and handing events over to the bus. Not here: what an
event says (published.py). Once per batch and event type: a second row is refused by its key, so whoever ends a batch
twice publishes once.

Events of one batch leave in the order in which they were written. An event is marked in the transaction that handed it
over, so a crash in between publishes it again, under the same event id; production's own relay does the same. One that
the bus does not take is tried again for as long as it takes, for nothing else would ever tell of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from cj_pipeline.bus.protocol import Bus, Outgoing
from cj_pipeline.cj.service.database import Database, Transaction, is_away
from cj_pipeline.cj.service.settings import CjSettings
from cj_pipeline.cj.service.tables import event_outbox
from cj_pipeline.clock import LoopClock
from cj_pipeline.contracts.cj_events import CJ_SOURCE_SERVICE
from cj_pipeline.contracts.model import WireModel
from cj_pipeline.seeding import keyed_uuid

_log = logging.getLogger(__name__)

# While the bus is asked, other transactions of this database wait for SQLite's lock.
_PUBLISH_TIMEOUT_S = 10.0


async def write_event(
    transaction: Transaction,
    data: WireModel,
    *,
    aggregate_id: str,
    topic: str,
    correlation_id: UUID,
    key: str,
    now: datetime,
) -> bool:
    """Write an event to be published after the commit; False when this aggregate has one of its type already.

    The event id follows from aggregate and topic, so a repetition is one for its readers too.
    """
    envelope: dict[str, Any] = {
        "event_id": str(keyed_uuid("cj-event", aggregate_id, topic, str(correlation_id))),
        "event_type": topic,
        "event_timestamp": now.isoformat(),
        "source_service": CJ_SOURCE_SERVICE,
        "schema_version": 1,
        "correlation_id": str(correlation_id),
        "data": data.model_dump(mode="json"),
    }
    return await transaction.insert_unless_there(
        event_outbox,
        {
            "aggregate_id": aggregate_id,
            "aggregate_type": "cj_batch",
            "event_type": topic,
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
        self._woken = asyncio.Event()
        self._woken.set()  # what a process before this one left behind

    def wake(self) -> None:
        """There may be something to publish."""
        self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled; without a timer while there is nothing to do."""
        while True:
            await self._woken.wait()
            self._woken.clear()
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
                    break

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
            refused: set[str] = set()
            for row in rows:
                if row.aggregate_id in refused:
                    continue
                error = await self._publish(row)
                values: dict[str, Any] = {"published_at": self._clock.now()}
                if error is not None:
                    refused.add(row.aggregate_id)
                    values = {"retry_count": row.retry_count + 1, "last_error": error}
                await transaction.execute(event_outbox.update().where(event_outbox.c.id == row.id).values(**values))
        return None if refused else len(rows) == self._settings.outbox_batch_size

    async def _publish(self, row: Any) -> str | None:
        """None once the bus has it, else the kind of error."""
        value = json.dumps(row.event_data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        message = Outgoing(row.topic, row.event_key.encode(), value)
        try:
            async with asyncio.timeout(_PUBLISH_TIMEOUT_S):
                (error,) = await self._bus.publish_all([message])
        except Exception as raised:
            error = raised
        if error is None:
            return None
        _log.error("event %s cannot be published to '%s': %s", row.id, row.topic, type(error).__name__)
        return type(error).__name__
