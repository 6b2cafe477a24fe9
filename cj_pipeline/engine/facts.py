"""This module defines the quantities that decisions are made of, each once and under production's name.

Where production is known to be wrong the definition is the right one, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cj_pipeline.contracts.enums import LLMBatchingMode
from cj_pipeline.engine.state import State
from cj_pipeline.engine.waves.retry_pool import eligible


@dataclass(frozen=True, slots=True)
class Facts:
    """A batch when all callbacks are in.

    max_score_change: logits, None without a previous score to compare with; eligible_retries: failed comparisons that
    may be asked again, retry_threshold: how many of them are worth a wave; single_wave: whether nothing may be asked
    after the first wave (`provider_batch_api`).
    """

    callbacks: int
    completed: int
    remaining: int
    success_rate: float | None
    low_success: bool
    max_score_change: float | None
    stable: bool
    reached_cap: bool
    budget_exhausted: bool
    unique_coverage_complete: bool
    resampling_passes: int
    resampling_cap: int
    small_cap_reached: bool
    eligible_retries: int
    retry_threshold: int
    single_wave: bool


def facts_of(state: State, scores: Mapping[str, float] | None) -> Facts:
    """Return the facts of a state whose wave is all in.

    scores: logits by essay from the rescoring just made; None when it failed. A failed rescoring is never stable
    (production falls back on the old scores, sees no change, and may stop there).
    """
    settings = state.batch.settings
    callbacks = state.callbacks
    success_rate = state.completed / callbacks if callbacks else None
    low_success = success_rate is not None and success_rate < settings.min_success_rate_threshold
    change = max_score_change(state.scores, scores)
    covered = unique_coverage_complete(state)
    return Facts(
        callbacks=callbacks,
        completed=state.completed,
        remaining=state.remaining,
        success_rate=success_rate,
        low_success=low_success,
        max_score_change=change,
        # The floor counts successes: production counts failures too, so ten errors could make a batch "stable".
        stable=(
            change is not None
            and state.completed >= settings.min_comparisons_for_stability_check
            and change <= settings.score_stability_threshold
            and not low_success
        ),
        reached_cap=callbacks >= state.batch.total_budget,
        budget_exhausted=state.remaining <= 0,
        unique_coverage_complete=covered,
        resampling_passes=state.resampling_pass_count,
        resampling_cap=resampling_cap(state),
        small_cap_reached=covered and _through_small_net_passes(state),
        eligible_retries=len(eligible(state)),
        retry_threshold=settings.failed_comparison_retry_threshold,
        single_wave=state.batch.batching_mode is LLMBatchingMode.PROVIDER_BATCH_API,
    )


def max_score_change(before: Mapping[str, float] | None, after: Mapping[str, float] | None) -> float | None:
    """Return the largest movement of a score, logits; an essay that had none counts from 0."""
    if before is None or not after:
        return None
    return max(abs(score - before.get(essay, 0.0)) for essay, score in after.items())


def successful_pairs(state: State) -> int:
    """Return distinct unordered pairs with a winner; a pair that only ever failed is not covered."""
    return len({tuple(sorted(outcome)) for outcome in state.won()})


def unique_coverage_complete(state: State) -> bool:
    """Return whether every pair of the net has a winner; never of a net without a pair."""
    possible = state.batch.max_possible_pairs
    # Cheap before dear: the pairs are counted only where there are enough successes for all of them.
    return 0 < possible <= state.completed and successful_pairs(state) >= possible


def is_small_net(state: State) -> bool:
    """Return whether the net is resampled as a small one."""
    return len(state.batch.items) <= state.batch.settings.min_resampling_net_size


def resampling_cap(state: State) -> int:
    """Return resampling passes that this net may make; a regular net never more than a small one."""
    settings = state.batch.settings
    small_cap = settings.max_resampling_passes_for_small_net
    if is_small_net(state):
        return small_cap
    regular = settings.max_resampling_passes_for_regular_batch
    return min(regular, small_cap) if small_cap > 0 else regular


def small_net_cap_reached(state: State) -> bool:
    """Return whether a small net is covered and has made all its passes."""
    return _through_small_net_passes(state) and unique_coverage_complete(state)


def _through_small_net_passes(state: State) -> bool:
    passes = state.batch.settings.max_resampling_passes_for_small_net
    return is_small_net(state) and state.resampling_pass_count >= passes
