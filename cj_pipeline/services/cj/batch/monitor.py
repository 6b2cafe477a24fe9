"""This module finds batches whose callbacks stopped coming, waves whose sender died, and events of a process that is
gone.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from sqlalchemy import select

from cj_pipeline.engine.state import BatchStatus
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.services.cj.batch.steps import Steps
from cj_pipeline.services.cj.batch.stored_batch import StateCache, lock_batch
from cj_pipeline.services.cj.batch.submission import Submitter
from cj_pipeline.services.cj.metrics import CjMetrics
from cj_pipeline.services.cj.results.outbox import OutboxRelay
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Database, is_away
from cj_pipeline.services.cj.store.tables import batch_states

_log = logging.getLogger(__name__)

# A process that has just started has messages to read before it can call a batch silent.
FIRST_LOOK_S = 30.0


class Monitor:
    """Looks every few minutes."""

    def __init__(
        self,
        settings: CjSettings,
        database: Database,
        clock: LoopClock,
        metrics: CjMetrics,
        steps: Steps,
        cache: StateCache,
        submitter: Submitter,
        relay: OutboxRelay,
    ) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._metrics = metrics
        self._steps = steps
        self._cache = cache
        self._submitter = submitter
        self._relay = relay

    async def run(self) -> None:
        """Look until cancelled; waves without a sender at once."""
        await self._resume()
        await asyncio.sleep(FIRST_LOOK_S)
        while True:
            self._relay.wake()
            await self._resume()
            try:
                await self.look()
            except Exception as error:
                if not is_away(error):
                    raise
                _log.error("stuck batches cannot be looked for: %s", type(error).__name__)
            await asyncio.sleep(60.0 * self._settings.batch_monitor_interval_minutes)

    async def look(self) -> int:
        """End batches that are stuck; how many there were."""
        silent = (
            batch_states.c.state == BatchStatus.WAITING_CALLBACKS.value,
            batch_states.c.last_activity_at < self._clock.now() - timedelta(hours=self._settings.batch_timeout_hours),
        )
        async with self._database.transaction() as transaction:
            found = await transaction.all(select(batch_states.c.batch_id).where(*silent))
        self._metrics.stuck(len(found))
        for row in found:
            async with self._database.transaction() as transaction:
                batch = await lock_batch(transaction, row.batch_id, self._cache)
                # Under the lock once more: a callback, or another replica, may have been here in between.
                still = await transaction.first(
                    select(batch_states.c.batch_id).where(batch_states.c.batch_id == row.batch_id, *silent)
                )
                if batch is None or still is None or batch.state.finished:
                    continue
                ended = await self._steps.recover(transaction, batch)
                failed = ended.status is BatchStatus.FAILED
                _log.warning(
                    "a stuck batch %s", "failed" if failed else "was scored", extra={"cj_batch_id": row.batch_id}
                )
                transaction.after_commit(self._metrics.stuck_failed if failed else self._metrics.recovered)
        return len(found)

    async def _resume(self) -> None:
        try:
            await self._submitter.resume()
        except Exception as error:
            if not is_away(error):
                raise
            _log.error("unsent waves cannot be looked for: %s", type(error).__name__)
