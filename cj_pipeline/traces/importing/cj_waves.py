"""This module finds the wave in which a batch asked each comparison: stored, in a column, or worked out.

Production keeps no number of the wave. It follows from how waves are made: in a coverage wave no essay occurs twice,
in a resampling wave no pair does, a wave is of one kind, and `provider_batch_api` asks everything at once. Rows are
written wave by wave, so in the order of their ids a new wave begins where one of these would be broken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cj_pipeline.contracts.engine_settings import EngineSettings, Pairing
from cj_pipeline.contracts.enums import LLMBatchingMode

RESAMPLING = "resampling"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """When a comparison was asked. wave: from 0; retry: whether it repeats one that failed."""

    wave: int
    retry: bool = False


@dataclass(frozen=True, slots=True)
class AskedWaves:
    """The waves of a batch. asked: by correlation id; source: where the numbers come from, in words.

    engine: the settings that the batch ran under, its budget among them; None where they are not on record.
    """

    asked: Mapping[str, Asked]
    source: str
    engine: EngineSettings | None = None


def waves_of(pairs: Sequence[Row], columns: frozenset[str], snapshot: str | None, mode: str | None) -> AskedWaves:
    """Return the course of a batch. pairs: its rows by id; mode: the batching mode stored with it."""
    stored = None if snapshot is None else _stored(snapshot)
    if stored is not None:
        return stored
    if "iteration" in columns:
        asked = {str(row["request_correlation_id"]): Asked(row["iteration"]) for row in pairs}
        return AskedWaves(asked, "the column iteration")
    if mode == LLMBatchingMode.PROVIDER_BATCH_API.value:
        whole = {str(row["request_correlation_id"]): Asked(0) for row in pairs}
        return AskedWaves(whole, "provider_batch_api, which asks everything in one wave")
    return AskedWaves(
        _worked_out(pairs), "worked out: no essay stands twice in a coverage wave, no pair in a resampling one"
    )


def _stored(snapshot: str) -> AskedWaves | None:
    """Read waves from a stored state of this project's engine; None for anything else."""
    try:
        document = json.loads(snapshot)
        asked = {
            comparison["correlation_id"]: Asked(comparison["iteration"], comparison["retry_count"] > 0)
            for wave in document["waves"]
            for comparison in wave["comparisons"]
        }
        batch = document["batch"]
        settings = EngineSettings.model_validate(batch["settings"])
        requested = batch.get("max_pairs_requested")
        budget = settings.max_pairwise_comparisons
        mode = batch.get("resolved_batching_mode") or settings.llm_batching_mode
        engine = settings.model_copy(
            update={
                "pairing": Pairing.RECORDED,
                "max_pairwise_comparisons": budget if requested is None else min(budget, requested),
                "llm_batching_mode": LLMBatchingMode(mode),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError):
        return None
    return AskedWaves(asked, "the engine's stored state", engine)


def _worked_out(pairs: Sequence[Row]) -> dict[str, Asked]:
    asked: dict[str, Asked] = {}
    wave, kind, seen = 0, None, set[object]()
    for row in pairs:
        essays = (row["essay_a_els_id"], row["essay_b_els_id"])
        # Rows from before the column existed are coverage.
        now = row.get("pair_generation_mode") or "coverage"
        taken: set[object] = {frozenset(essays)} if now == RESAMPLING else set(essays)
        if kind is not None and (now != kind or seen & taken):
            wave, seen = wave + 1, set()
        kind = now
        seen |= taken
        asked[str(row["request_correlation_id"])] = Asked(wave)
    return asked
