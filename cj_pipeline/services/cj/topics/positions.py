"""This module keeps how far each partition of a topic has been read, in the database.

A position moves in the transaction of what its message did, and its row is locked meanwhile: of two replicas that read
the same message one takes it, and the other finds the position behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select

from cj_pipeline.bus.protocol import Bus, MessagesGone
from cj_pipeline.services.cj.settings import UnreadTopic
from cj_pipeline.services.cj.store.database import Database, Transaction
from cj_pipeline.services.cj.store.tables import topic_positions


@dataclass(frozen=True, slots=True)
class Positions:
    """The positions of one database. unread: where a topic begins that it has never read."""

    database: Database
    bus: Bus
    unread: UnreadTopic

    async def begin(self, topic: str) -> Mapping[int, int]:
        """Return where to begin, by partition; a partition that is not named is read from its first message on.

        A topic that was never read is on record afterwards, so that "latest" means the same in the next process.
        """
        known = await self._known(topic)
        if known:
            return known
        match self.unread:
            case UnreadTopic.EARLIEST:
                beginnings: Mapping[int, int] = {}
            case UnreadTopic.LATEST:
                beginnings = await self.bus.end(topic)
        async with self.database.transaction() as transaction:
            for partition, offset in (beginnings or {0: 0}).items():
                await self._add(transaction, topic, partition, offset)
        # Of a topic that was never read nothing can be gone: 0 is its first message, whatever retention has left.
        return {partition: offset for partition, offset in (await self._known(topic)).items() if offset}

    async def advance(self, transaction: Transaction, topic: str, partition: int, behind: int) -> bool:
        """Move a position behind an offset; False when it is there already."""
        if await self._locked(transaction, topic, partition) > behind:
            return False
        await self._set(transaction, topic, partition, behind + 1)
        return True

    async def pass_gap(self, gone: MessagesGone) -> int | None:
        """Go on at the first message that is left; how many were lost. None when another replica is past it already.

        A topic that was made again counts from 0 again, and loses nothing: what it holds is read from its beginning.
        """
        made_anew = gone.first <= gone.wanted
        async with self.database.transaction() as transaction:
            position = await self._locked(transaction, gone.topic, gone.partition)
            if position < gone.wanted if made_anew else position >= gone.first:
                return None
            await self._set(transaction, gone.topic, gone.partition, gone.first)
            return max(0, gone.first - position)

    async def _known(self, topic: str) -> dict[int, int]:
        columns = (topic_positions.c.message_partition, topic_positions.c.next_offset)
        async with self.database.transaction() as transaction:
            rows = await transaction.all(select(*columns).where(topic_positions.c.topic == topic))
        return {row.message_partition: int(row.next_offset) for row in rows}

    async def _locked(self, transaction: Transaction, topic: str, partition: int) -> int:
        statement = (
            select(topic_positions.c.next_offset)
            .where(topic_positions.c.topic == topic, topic_positions.c.message_partition == partition)
            .with_for_update()
        )
        row = await transaction.first(statement)
        if row is None:
            # What is not there cannot be locked. Of two replicas that make the row, one waits here for the other.
            await self._add(transaction, topic, partition, 0)
            row = await transaction.first(statement)
        return 0 if row is None else int(row.next_offset)

    async def _add(self, transaction: Transaction, topic: str, partition: int, offset: int) -> None:
        row = {"topic": topic, "message_partition": partition, "next_offset": offset}
        await transaction.insert_unless_there(topic_positions, row)

    async def _set(self, transaction: Transaction, topic: str, partition: int, offset: int) -> None:
        await transaction.execute(
            topic_positions.update()
            .where(topic_positions.c.topic == topic, topic_positions.c.message_partition == partition)
            .values(next_offset=offset)
        )
