"""This module reads a topic so that every message takes effect once.

Every replica reads all partitions, from the positions in the database on; order holds within a partition only, and
nothing here wants more. A message is never passed over in silence: while the database is away it is tried for as long
as it takes, one that no attempt can handle is kept in `cj_quarantined_messages`, and one that the topic no longer had
when its turn came is counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Generic, Protocol, TypeVar

from cj_pipeline.bus.protocol import Bus, Message, MessagesGone
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.retrying import Waits, backoff_s, retry
from cj_pipeline.services.cj.metrics import CjMetrics
from cj_pipeline.services.cj.store.database import Transaction, is_away
from cj_pipeline.services.cj.store.tables import quarantined_messages
from cj_pipeline.services.cj.topics.positions import Positions

_log = logging.getLogger(__name__)

# A handler that fails for its message's sake fails again; what has another cause may have passed by then.
ATTEMPTS = 3
_WAITS = Waits(first_s=1.0, most_s=30.0)

Prepared = TypeVar("Prepared")
Result = TypeVar("Result")


class Handler(Protocol[Prepared]):
    """What to do with the messages of a topic."""

    async def prepare(self, message: Message) -> Prepared:
        """Whatever takes time, outside any transaction. May be done more than once, and in vain."""
        ...

    async def apply(self, transaction: Transaction, message: Message, prepared: Prepared) -> None:
        """Do what the message asks. Committed together with the position, or not at all."""
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
                message_partition=message.partition,
                message_offset=message.offset,
                reason=reason[:100],
                field=field[:255],
                message=message.value,
                received_at=self._clock.now(),
            )
        )
        transaction.after_commit(lambda: self._metrics.quarantined(message.topic, reason.partition(":")[0]))

    def missed(self, topic: str, messages: int) -> None:
        """Count messages that were gone before they could be kept or used."""
        self._metrics.messages_gone(topic, messages)


class TopicConsumer(Generic[Prepared]):
    """Reads one topic for as long as it runs."""

    def __init__(
        self, topic: str, bus: Bus, positions: Positions, quarantine: Quarantine, handler: Handler[Prepared]
    ) -> None:
        self._topic = topic
        self._bus = bus
        self._positions = positions
        self._database = positions.database
        self._quarantine = quarantine
        self._handler = handler

    async def run(self) -> None:
        """Take messages in, partition by partition in order, until cancelled."""
        begin = await _while_away(lambda: self._positions.begin(self._topic))
        subscription = self._bus.subscribe(self._topic, begin)
        while True:
            try:
                message = await subscription.next()
            except MessagesGone as gone:
                await self._pass(gone)
            else:
                await self._handle(message)

    async def _pass(self, gone: MessagesGone) -> None:
        """Go on behind a gap. Of several replicas that find it one counts it."""
        lost = await _while_away(lambda: self._positions.pass_gap(gone))
        if lost is not None:
            _log.error("messages were gone before they were read: %s", gone)
            self._quarantine.missed(gone.topic, lost)

    async def _handle(self, message: Message) -> None:
        failures = 0
        for tries in count(1):
            try:
                await self._take(message)
            except Exception as error:
                away = is_away(error)
                # No traceback and no message of the error: either may quote what the message holds.
                _log.error(
                    "message %d of '%s', partition %d, could not be handled: %s",
                    *(message.offset, self._topic, message.partition, type(error).__name__),
                )
                failures += not away
                if failures >= ATTEMPTS:
                    await self._give_up(message, error)
                    return
                await asyncio.sleep(backoff_s(tries, _WAITS))
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
                    "message %d of '%s', partition %d, could not be kept: %s",
                    *(message.offset, self._topic, message.partition, type(refused).__name__),
                )
                await asyncio.sleep(_WAITS.first_s)
            else:
                return

    async def _advance(self, transaction: Transaction, message: Message) -> bool:
        """Move the position behind a message; False when it is there already."""
        return await self._positions.advance(transaction, self._topic, message.partition, message.offset)


async def _while_away(action: Callable[[], Awaitable[Result]]) -> Result:
    """Try until the database is there."""
    return await retry(action, on=lambda error: 0.0 if is_away(error) else None, waits=_WAITS)
