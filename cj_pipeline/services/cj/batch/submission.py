"""This module sends waves to the LPS.

A wave belongs to one replica at a time, by a lease that it renews while it sends; a wave whose lease ran out is taken
over. What was sent is marked after each chunk, so a crash repeats at most a chunk, which the LPS knows by its ids. A
comparison that cannot be sent has failed, and the engine learns it at once: production leaves it open, and the batch
hangs until a timeout of four hours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.engine.intake import NotSubmitted
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.services.cj.batch.lps_client import LpsClient, Refused
from cj_pipeline.services.cj.batch.prompts import Prompts, Requests
from cj_pipeline.services.cj.batch.steps import Steps
from cj_pipeline.services.cj.batch.stored_batch import LockedBatch, StateCache, lock_batch
from cj_pipeline.services.cj.metrics import CjMetrics
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Database, Transaction, is_away
from cj_pipeline.services.cj.store.tables import batch_states, comparison_pairs, wave_submissions

_log = logging.getLogger(__name__)

# Posts under way at a time, of all waves together; production's number.
CONCURRENT_POSTS = 3

_DATABASE_AWAY_S = 5.0

Wave = tuple[int, int]
"""CJ batch id and iteration."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    requests: Requests
    provider: str
    model: str


class Submitter:
    """Sends the waves of one replica."""

    def __init__(
        self,
        settings: CjSettings,
        database: Database,
        clock: LoopClock,
        metrics: CjMetrics,
        client: LpsClient,
        prompts: Prompts,
        cache: StateCache,
        sender: str,
        on_end: Callable[[asyncio.Task[None]], None],
    ) -> None:
        """on_end: called with each task that ends, so that the service sees its error."""
        self._settings = settings
        self._database = database
        self._clock = clock
        self._metrics = metrics
        self._client = client
        self._prompts = prompts
        self._cache = cache
        self._sender = sender
        self._on_end = on_end
        self._posts = asyncio.Semaphore(CONCURRENT_POSTS)
        self._sending: dict[Wave, asyncio.Task[None]] = {}
        self.steps: Steps | None = None

    def send(self, cj_batch_id: int, iteration: int, delay_s: float = 0.0) -> None:
        """Send a wave in the background, unless this replica is at it already."""
        wave = (cj_batch_id, iteration)
        if wave in self._sending:
            return
        task = asyncio.create_task(self._send(wave, delay_s), name=f"cj-wave-{cj_batch_id}-{iteration}")
        self._sending[wave] = task
        task.add_done_callback(lambda ended: self._ended(wave, ended))

    async def resume(self) -> None:
        """Send what nobody sends any more, now or when its lease runs out."""
        async with self._database.transaction() as transaction:
            rows = await transaction.all(select(wave_submissions).where(wave_submissions.c.sent.is_(False)))
        now = self._clock.now()
        for row in rows:
            wait_s = 0.0 if row.sender == self._sender else (row.lease_expires_at - now).total_seconds()
            # A moment later than to the instant: the lease holds until it is over.
            self.send(row.batch_id, row.iteration, max(0.0, wait_s + 0.001) if wait_s > 0 else 0.0)

    async def stop(self) -> None:
        """Stop sending; what was not sent stays in the database."""
        tasks = list(self._sending.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _ended(self, wave: Wave, task: asyncio.Task[None]) -> None:
        self._sending.pop(wave, None)
        self._on_end(task)

    async def _send(self, wave: Wave, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while True:
            try:
                chunk = await self._claim(wave)
                if chunk is None:
                    return
                refused = await self._post_all(wave, chunk)
                await self._report(wave, chunk, refused)
            except Exception as error:
                if not is_away(error):
                    raise
                _log.error("the database is away while a wave is sent: %s", type(error).__name__)
                await asyncio.sleep(_DATABASE_AWAY_S)

    async def _claim(self, wave: Wave) -> _Chunk | None:
        """Return the next comparisons to send; None when there are none, or they are another replica's."""
        batch_id, iteration = wave
        async with self._database.transaction() as transaction:
            # The batch before its wave, as everywhere: two locks in two orders would wait for each other.
            batch = await lock_batch(transaction, batch_id, self._cache)
            row = await transaction.first(
                select(wave_submissions)
                .where(wave_submissions.c.batch_id == batch_id, wave_submissions.c.iteration == iteration)
                .with_for_update()
            )
            now = self._clock.now()
            if batch is None or row is None or row.sent or (row.sender != self._sender and row.lease_expires_at > now):
                return None
            requests = {} if batch.state.finished else await self._unsent(transaction, batch, iteration)
            await self._update_wave(
                transaction,
                wave,
                sent=not requests,
                sender=self._sender,
                lease_expires_at=now + timedelta(seconds=self._settings.submission_lease_seconds),
            )
        overrides = batch.request.llm_config_overrides
        provider = overrides.provider_override or self._settings.default_llm_provider
        model = overrides.model_override or self._settings.default_llm_model
        return _Chunk(requests, provider.value, model) if requests else None

    async def _unsent(self, transaction: Transaction, batch: LockedBatch, iteration: int) -> Requests:
        """Requests of the wave's next comparisons that are neither sent nor answered, in the wave's order."""
        rows = await transaction.all(
            select(comparison_pairs.c.request_correlation_id)
            .where(
                comparison_pairs.c.cj_batch_id == batch.cj_batch_id,
                comparison_pairs.c.iteration == iteration,
                comparison_pairs.c.submitted_at.is_(None),
                comparison_pairs.c.winner.is_(None),
            )
            .order_by(comparison_pairs.c.id)
            .limit(batch.request.batch_size or self._settings.default_batch_size)
        )
        state = batch.state
        comparisons = [state.asked[UUID(row.request_correlation_id)] for row in rows]
        wave_size = len(state.waves[iteration].comparisons)
        return await self._prompts.of(transaction, batch.request, state.batch, comparisons, wave_size)

    async def _post_all(self, wave: Wave, chunk: _Chunk) -> Mapping[UUID, Refused]:
        renewal = asyncio.create_task(self._renew(wave), name="cj-lease")
        try:
            ends = await asyncio.gather(*(self._post(chunk, request) for request in chunk.requests.values()))
        finally:
            renewal.cancel()
            await asyncio.wait([renewal])
        return {
            correlation_id: refused
            for correlation_id, refused in zip(chunk.requests, ends, strict=True)
            if refused is not None
        }

    async def _post(self, chunk: _Chunk, request: ComparisonRequest) -> Refused | None:
        async with self._posts:
            refused = await self._client.submit(request)
        self._metrics.llm_call(chunk.provider, chunk.model, "queued" if refused is None else "error")
        return refused

    async def _renew(self, wave: Wave) -> None:
        lease_s = self._settings.submission_lease_seconds
        while True:
            await asyncio.sleep(lease_s / 3)
            try:
                async with self._database.transaction() as transaction:
                    expires = self._clock.now() + timedelta(seconds=lease_s)
                    await self._update_wave(transaction, wave, lease_expires_at=expires)
            except Exception as error:
                if not is_away(error):
                    raise
                _log.error("a lease could not be renewed: %s", type(error).__name__)

    async def _report(self, wave: Wave, chunk: _Chunk, refused: Mapping[UUID, Refused]) -> None:
        assert self.steps is not None  # noqa: S101 - set before the first wave is sent
        async with self._database.transaction() as transaction:
            batch = await lock_batch(transaction, wave[0], self._cache)
            if batch is None:
                return
            now = self._clock.now()
            accepted = [str(correlation_id) for correlation_id in chunk.requests if correlation_id not in refused]
            if accepted:
                await transaction.execute(
                    comparison_pairs.update()
                    .where(comparison_pairs.c.request_correlation_id.in_(accepted))
                    .values(submitted_at=now)
                )
                await transaction.execute(
                    batch_states.update().where(batch_states.c.batch_id == wave[0]).values(last_activity_at=now)
                )
            if refused:
                _log.error("%d of %d comparisons could not be sent", len(refused), len(chunk.requests))
                details: dict[UUID, dict[str, Any]] = {
                    correlation_id: {
                        "error_correlation_id": str(correlation_id),
                        "error_timestamp": now,
                        "error_service": LPS_SOURCE_SERVICE,
                        "error_details": {"operation": "submit"},
                    }
                    for correlation_id in refused
                }
                deliveries = [NotSubmitted(key, value.error_code.value) for key, value in refused.items()]
                await self.steps.deliver(transaction, batch, deliveries, details)

    async def _update_wave(self, transaction: Transaction, wave: Wave, **values: object) -> None:
        await transaction.execute(
            wave_submissions.update()
            .where(wave_submissions.c.batch_id == wave[0], wave_submissions.c.iteration == wave[1])
            .values(**values)
        )
