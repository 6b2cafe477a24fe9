"""Reading a topic so that every message takes effect once.

Here: positions, trying again, quarantine. Not here: what a message means (requests_topic.py, callbacks_topic.py).

A subscription reads its topic from the first message on, so the service keeps its own position, in the transaction of
what the message did. Its row is locked meanwhile: of two replicas that read the same message one takes it, and the
other finds the position behind it. A message is never passed over in silence: while the database is away it is tried
for as long as it takes, and one that no attempt can handle is kept in `cj_quarantined_messages`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Generic, Protocol, TypeVar

from sqlalchemy import select

from cj_pipeline.bus.protocol import Bus, Message
from cj_pipeline.cj.service.database import Database, Transaction, is_away
from cj_pipeline.cj.service.metrics import CjMetrics
from cj_pipeline.cj.service.tables import quarantined_messages, topic_positions
from cj_pipeline.clock import LoopClock

_log = logging.getLogger(__name__)

# A handler that fails for its message's sake fails again; what has another cause may have passed by then.
ATTEMPTS = 3
BACKOFF_S = 1.0
MAX_BACKOFF_S = 30.0

Prepared = TypeVar("Prepared")


class Handler(Protocol[Prepared]):
    """What to do with the messages of a topic."""

    async def prepare(self, message: Message) -> Prepared:
        """Whatever takes time, outside any transaction. May be done more than once, and in vain."""
        ...

    async def apply(self, transaction: Transaction, message: Message, prepared: Prepared) -> None:
        """What the message does. Committed together with the position, or not at all."""
        ...

    async def abandon(self, transaction: Transaction, message: Message) -> None:
        """Tell whoever waits for a message's effect that there will be none; it is in quarantine by then."""
        ...


class Quarantine:
    """Where messages go that took no effect."""

    def __init__(self, clock: LoopClock, metrics: CjMetrics) -> None:
        self._clock = clock
        self._metrics = metrics

    async def keep(self, transaction: Transaction, message: Message, reason: str, field: str = "") -> None:
        """Keep a message aside, whole. reason: a word or two, never any of its text."""
        await transaction.execute(
            quarantined_messages.insert().values(
                topic=message.topic,
                message_offset=message.offset,
                reason=reason[:100],
                field=field[:255],
                message=message.value,
                received_at=self._clock.now(),
            )
        )
        transaction.after_commit(lambda: self._metrics.quarantined(message.topic, reason.partition(":")[0]))


class TopicConsumer(Generic[Prepared]):
    """Reads one topic for as long as it runs."""

    def __init__(
        self, topic: str, bus: Bus, database: Database, quarantine: Quarantine, handler: Handler[Prepared]
    ) -> None:
        self._topic = topic
        self._bus = bus
        self._database = database
        self._quarantine = quarantine
        self._handler = handler

    async def run(self) -> None:
        """Take messages in, in order, until cancelled."""
        backoff_s = BACKOFF_S
        while True:
            try:
                position = await self._first_position()
                break
            except Exception as error:
                if not is_away(error):
                    raise
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
        subscription = self._bus.subscribe(self._topic)
        while True:
            message = await subscription.next()
            if message.offset >= position:
                await self._handle(message)

    async def _first_position(self) -> int:
        async with self._database.transaction() as transaction:
            await transaction.insert_unless_there(topic_positions, {"topic": self._topic, "next_offset": 0})
            return await self._position(transaction)

    async def _handle(self, message: Message) -> None:
        failures, backoff_s = 0, BACKOFF_S
        while True:
            try:
                await self._take(message)
            except Exception as error:
                away = is_away(error)
                # No traceback and no message of the error: either may quote what the message holds.
                _log.error(
                    "message %d of '%s' could not be handled: %s", message.offset, self._topic, type(error).__name__
                )
                failures += not away
                if failures >= ATTEMPTS:
                    await self._give_up(message, error)
                    return
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
            else:
                return

    async def _take(self, message: Message) -> None:
        prepared = await self._handler.prepare(message)
        async with self._database.transaction() as transaction:
            if await self._advance(transaction, message):
                await self._handler.apply(transaction, message, prepared)

    async def _give_up(self, message: Message, error: Exception) -> None:
        """Keep a message aside that no attempt could handle; for as long as it takes."""
        tell = True
        while True:
            try:
                async with self._database.transaction() as transaction:
                    if await self._advance(transaction, message):
                        await self._quarantine.keep(transaction, message, f"handler_error: {type(error).__name__}")
                        if tell:
                            await self._handler.abandon(transaction, message)
            except Exception as refused:
                # What broke the handler may break this too; then the message is kept and nobody told.
                tell = tell and is_away(refused)
                _log.error(
                    "message %d of '%s' could not be kept: %s", message.offset, self._topic, type(refused).__name__
                )
                await asyncio.sleep(BACKOFF_S)
            else:
                return

    async def _advance(self, transaction: Transaction, message: Message) -> bool:
        """Move the position behind a message; False when it is there already."""
        if await self._position(transaction) > message.offset:
            return False
        await transaction.execute(
            topic_positions.update()
            .where(topic_positions.c.topic == self._topic)
            .values(next_offset=message.offset + 1)
        )
        return True

    async def _position(self, transaction: Transaction) -> int:
        row = await transaction.first(
            select(topic_positions.c.next_offset).where(topic_positions.c.topic == self._topic).with_for_update()
        )
        return 0 if row is None else int(row.next_offset)
