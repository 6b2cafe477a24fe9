"""This module logs the life of a batch, a line for each event: taken in, wave, decision, end.

Every line names the batch's ids, so that one grep of the log tells what became of a batch.
"""

from __future__ import annotations

import logging

from cj_pipeline.engine.effects import Finalize, SubmitWave
from cj_pipeline.engine.state import Decision, State
from cj_pipeline.services.cj.batch.stored_batch import LockedBatch

_log = logging.getLogger(__name__)


def log_taken_in(batch: LockedBatch) -> None:
    """Log a request that became a batch."""
    engine = batch.state.batch
    _log.info(
        f"{_ids(batch)}: taken in, {len(engine.items)} essays, budget {engine.total_budget} comparisons, "
        f"{engine.batching_mode.value}",
        extra=_extra(batch),
    )


def log_wave(batch: LockedBatch, wave: SubmitWave) -> None:
    """Log a wave that is to be sent."""
    _log.info(
        f"{_ids(batch)}: wave {wave.iteration}, {len(wave.comparisons)} comparisons ({wave.kind.value})",
        extra=_extra(batch),
    )


def log_decision(batch: LockedBatch, decision: Decision) -> None:
    """Log a decision, with the facts that made it."""
    _log.info(
        f"{_ids(batch)}: decision {decision.kind.value} after {decision.callbacks} callbacks: {decision.reason}",
        extra=_extra(batch),
    )


def log_end(batch: LockedBatch, state: State, end: Finalize) -> None:
    """Log the end of a batch."""
    _log.info(
        f"{_ids(batch)}: over, {end.upload_status.value} ({end.reason}), {state.completed} comparisons judged, "
        f"{state.failed} failed, {len(state.waves)} waves",
        extra=_extra(batch),
    )


def _ids(batch: LockedBatch) -> str:
    return f"batch {batch.bos_batch_id} ({batch.cj_batch_id}), correlation id {batch.event_correlation_id}"


def _extra(batch: LockedBatch) -> dict[str, object]:
    return {
        "bos_batch_id": batch.bos_batch_id,
        "cj_batch_id": batch.cj_batch_id,
        "correlation_id": batch.event_correlation_id,
    }
