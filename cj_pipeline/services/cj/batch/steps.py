"""This module carries out one step of a batch (deliveries, the engine's decision and all that follows) in one
transaction.

The caller holds the batch's lock (stored_batch.lock_batch). A wave is rows and a submission that is not sent yet;
sending follows the commit, and is repeated by any replica that finds it unsent, under the same correlation ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.engine.effects import CallbackKind, Effect, Finalize, SubmitWave, Taken
from cj_pipeline.engine.engine import Step, advance, recover
from cj_pipeline.engine.intake import Delivery
from cj_pipeline.engine.state import State
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.services.cj.batch.life import log_decision, log_end, log_taken_in, log_wave
from cj_pipeline.services.cj.batch.prompts import Prompts
from cj_pipeline.services.cj.batch.stored_batch import (
    ERROR,
    ESSAY_A,
    ESSAY_B,
    MALFORMED,
    LockedBatch,
    StateCache,
    counters_of,
    error_code_of,
    state_metadata,
    store_snapshot,
)
from cj_pipeline.services.cj.metrics import CjMetrics
from cj_pipeline.services.cj.results.finalizer import Finalizer
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Transaction
from cj_pipeline.services.cj.store.tables import batch_states, comparison_pairs, wave_submissions

Details = Mapping[UUID, Mapping[str, Any]]
"""Further columns of the answered pairs, by correlation id."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Carries the engine's steps out. sender: this replica's name; submit: wakes what sends waves."""

    settings: CjSettings
    clock: LoopClock
    metrics: CjMetrics
    finalizer: Finalizer
    prompts: Prompts
    cache: StateCache
    sender: str
    wave_written: Callable[[int, int], None]
    event_written: Callable[[], None]

    async def started(self, transaction: Transaction, batch: LockedBatch, step: Step) -> None:
        """Store the first step of a new batch, whose rows are there."""
        transaction.after_commit(_bound(log_taken_in, batch))
        transaction.after_commit(_bound(self.metrics.batch_started, step[0].batch.batching_mode.value))
        await self._store(transaction, batch, step, {}, {})

    async def deliver(
        self, transaction: Transaction, batch: LockedBatch, deliveries: Sequence[Delivery], details: Details
    ) -> tuple[Taken, ...]:
        """Take deliveries in; what each of them was. Raises BrokenInvariant, and then nothing may be committed."""
        step = advance(batch.state, deliveries)
        await self._store(transaction, batch, step, {d.correlation_id: d for d in deliveries}, details)
        return tuple(effect for effect in step[1] if isinstance(effect, Taken))

    async def recover(self, transaction: Transaction, batch: LockedBatch) -> State:
        """End a stuck batch; the state it ended in."""
        state, effects = recover(batch.state)
        await self._store(transaction, batch, (state, effects), {}, {})
        return state

    async def _store(
        self,
        transaction: Transaction,
        batch: LockedBatch,
        step: Step,
        deliveries: Mapping[UUID, Delivery],
        details: Details,
    ) -> None:
        before, (state, effects) = batch.state, step
        now = self.clock.now()
        answers = before.callbacks
        gained: dict[str, Any] = {}
        for decision in state.decisions[len(before.decisions) :]:
            transaction.after_commit(_bound(log_decision, batch, decision))
        for effect in effects:
            match effect:
                case Taken() as taken:
                    transaction.after_commit(_bound(self.metrics.answered, taken))
                    if taken.counted:
                        answers += 1
                        row = _answer(taken, deliveries.get(taken.correlation_id))
                        row |= {"completed_at": now, **details.get(taken.correlation_id, {}), "answer_number": answers}
                        await _update_pair(transaction, taken.correlation_id, row)
                case SubmitWave() as wave:
                    await self._write_wave(transaction, batch, state, wave, now)
                case Finalize() as end:
                    gained = await self.finalizer.finish(transaction, batch, state, end, now)
                    transaction.after_commit(_bound(log_end, batch, state, end))
                    transaction.after_commit(self.event_written)
        if not _changed(before, state, effects):
            return
        counters = counters_of(state, now)
        if any(not isinstance(effect, Taken) for effect in effects):
            # A new document, never an edited one: an edit in place is not seen as a change.
            counters["processing_metadata"] = {**batch.metadata, **state_metadata(state), **gained}
            await store_snapshot(transaction, state, now)
            for decision in state.decisions[len(before.decisions) :]:
                transaction.after_commit(_bound(self.metrics.decided, decision, state.progress))
            transaction.after_commit(_bound(self.metrics.pool_of, state))
        await transaction.execute(
            batch_states.update().where(batch_states.c.batch_id == batch.cj_batch_id).values(**counters)
        )
        transaction.after_commit(_bound(self.cache.keep, state))

    async def _write_wave(
        self, transaction: Transaction, batch: LockedBatch, state: State, wave: SubmitWave, now: datetime
    ) -> None:
        prompts = await self.prompts.of_wave(transaction, batch, state.batch, wave)
        await transaction.execute(
            comparison_pairs.insert(),
            [
                {
                    "cj_batch_id": batch.cj_batch_id,
                    "essay_a_els_id": comparison.essay_a,
                    "essay_b_els_id": comparison.essay_b,
                    "prompt_text": prompts[comparison.correlation_id].user_prompt,
                    "request_correlation_id": str(comparison.correlation_id),
                    "pair_generation_mode": comparison.kind.value,
                    "created_at": now,
                    "iteration": wave.iteration,
                }
                for comparison in wave.comparisons
            ],
        )
        await transaction.execute(
            wave_submissions.insert().values(
                batch_id=batch.cj_batch_id,
                iteration=wave.iteration,
                sent=False,
                sender=self.sender,
                lease_expires_at=now + timedelta(seconds=self.settings.submission_lease_seconds),
            )
        )
        transaction.after_commit(_bound(self.metrics.wave, wave, state.batch.batching_mode.value))
        transaction.after_commit(_bound(log_wave, batch, wave))
        transaction.after_commit(_bound(self.wave_written, batch.cj_batch_id, wave.iteration))


def _changed(before: State, after: State, effects: Sequence[Effect]) -> bool:
    """Return whether there is anything to store; repeats, orphans and late callbacks change no row of the batch."""
    counted = after.callbacks != before.callbacks
    return counted or any(not isinstance(effect, Taken) for effect in effects)


def _answer(taken: Taken, delivery: Delivery | None) -> dict[str, Any]:
    if taken.kind is CallbackKind.SUCCESS and isinstance(delivery, LLMComparisonResultV1):
        return {"winner": ESSAY_A if delivery.winner is Winner.A else ESSAY_B}
    row: dict[str, Any] = {"winner": ERROR, "error_code": error_code_of(taken.error_code)}
    if taken.kind is CallbackKind.MALFORMED:
        row["error_details"] = MALFORMED
    return row


async def _update_pair(transaction: Transaction, correlation_id: UUID, row: Mapping[str, Any]) -> None:
    await transaction.execute(
        comparison_pairs.update().where(comparison_pairs.c.request_correlation_id == str(correlation_id)).values(**row)
    )


def _bound(method: Callable[..., None], *arguments: object) -> Callable[[], None]:
    return lambda: method(*arguments)
