"""This module holds what the engine remembers of a batch: frozen values, and nothing that changes them.

A state is never edited: `advance` returns a new one, which shares with the old one what has not changed. It copies the
answers of the open wave once a call: 0.3 s altogether for 10,000 callbacks one by one, 1 ms for all at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import combinations
from uuid import UUID

from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.contracts.enums import LLMBatchingMode
from cj_pipeline.foundation.errors import CjPipelineError

Pair = tuple[str, str]


class UnusableBudget(CjPipelineError):
    """A batch that could not say when it is complete."""


class WaveKind(StrEnum):
    """Why a wave was asked. Of a comparison only the first two, as in `pair_generation_mode` of production's rows."""

    COVERAGE = "coverage"
    RESAMPLING = "resampling"
    RETRY = "retry"


class BatchStatus(StrEnum):
    """Where a batch stands."""

    WAITING_CALLBACKS = "WAITING_CALLBACKS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class UploadStatus(StrEnum):
    """How a batch ended, in production's words; the ones this engine can reach."""

    PERFORMING_COMPARISONS = "PERFORMING_COMPARISONS"
    COMPLETE_STABLE = "COMPLETE_STABLE"
    COMPLETE_MAX_COMPARISONS = "COMPLETE_MAX_COMPARISONS"
    COMPLETE_FORCED_RECOVERY = "COMPLETE_FORCED_RECOVERY"
    COMPLETE_INSUFFICIENT_ESSAYS = "COMPLETE_INSUFFICIENT_ESSAYS"
    ERROR_PROCESSING = "ERROR_PROCESSING"


@dataclass(frozen=True, slots=True)
class PlannedPair:
    """A pair that a trace prescribes, in the orientation in which it was shown.

    correlation_id: the recorded one when the recorded answer itself is to be used; None where a fresh one is wanted.
    retry: whether the trace calls it one (`cj_request_type`); it is one only if the pool holds the failure too.
    """

    essay_a: str
    essay_b: str
    correlation_id: UUID | None = None
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch is asked to do; fixed when it starts.

    items: essay ids, sorted and distinct; seed: of everything drawn in this batch;
    plan: the waves that `Pairing.RECORDED` follows, empty otherwise;
    max_pairs_requested: what the request asks for, which can lower the budget and not raise it;
    resolved_batching_mode: what batching.py made of request and settings, None for the settings' own.
    Raises UnusableBudget when that leaves no positive number of comparisons.
    """

    bos_batch_id: str
    cj_batch_id: int
    items: tuple[str, ...]
    settings: EngineSettings
    seed: int
    plan: tuple[tuple[PlannedPair, ...], ...] = ()
    max_pairs_requested: int | None = None
    resolved_batching_mode: LLMBatchingMode | None = None

    def __post_init__(self) -> None:
        if self.total_budget is None or self.total_budget <= 0:
            raise UnusableBudget(
                f"{self.bos_batch_id}: a budget of {self.total_budget} comparisons has no 100 %. "
                "Ask for at least one (max_pairwise_comparisons, max_comparisons)."
            )

    @property
    def total_budget(self) -> int:
        """Return how many comparisons may be submitted in all, retries included; it never changes."""
        allowed = self.settings.max_pairwise_comparisons
        return allowed if self.max_pairs_requested is None else min(allowed, self.max_pairs_requested)

    @property
    def batching_mode(self) -> LLMBatchingMode:
        """Return the mode this batch is asked in."""
        return self.resolved_batching_mode or self.settings.llm_batching_mode

    @property
    def max_possible_pairs(self) -> int:
        """Return unordered pairs of the net."""
        return len(self.items) * (len(self.items) - 1) // 2

    def pairs(self) -> list[Pair]:
        """Return every unordered pair, both ids in sorted order."""
        return list(combinations(self.items, 2))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pair put to the judge, in the order in which it is shown.

    kind: why the pair was chosen when it was first asked; iteration: number of its wave, from 0;
    retry_count: 0 when first asked; retry_of: the comparison whose failure it repeats, in the same orientation.
    """

    correlation_id: UUID
    essay_a: str
    essay_b: str
    kind: WaveKind
    iteration: int
    retry_count: int = 0
    retry_of: UUID | None = None

    @property
    def pair(self) -> Pair:
        """Return the pair without its orientation."""
        return (self.essay_a, self.essay_b) if self.essay_a < self.essay_b else (self.essay_b, self.essay_a)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one comparison: the winning essay, or the code of the error.

    malformed: neither winner nor error was given, so the code is the engine's own and no retry can help.
    """

    winner: str | None
    error_code: str | None
    malformed: bool = False


@dataclass(frozen=True)
class Wave:
    """Comparisons submitted together, with the answers that are in, in order of arrival."""

    comparisons: tuple[Comparison, ...]
    answers: Mapping[UUID, Answer] = field(default_factory=dict)

    @cached_property
    def won(self) -> tuple[tuple[str, str], ...]:
        """Return (winner, loser) of every successful comparison, in the order in which they were submitted.

        Kept, because each later wave is scored with all earlier ones: 100 waves of 1,000 took a minute.
        """
        winners = ((one, self.answers.get(one.correlation_id)) for one in self.comparisons)
        return tuple(
            (one.essay_a, one.essay_b) if answer.winner == one.essay_a else (one.essay_b, one.essay_a)
            for one, answer in winners
            if answer is not None and answer.winner is not None
        )


@dataclass(frozen=True, slots=True)
class FailedComparison:
    """One entry of the retry pool: a comparison that failed and has not been judged since.

    correlation_id: of its first asking; kind: of its first asking; error_code: of its last failure;
    retry_count: retries submitted; in_flight: one of them is unanswered, so it may not be asked again now.
    """

    correlation_id: UUID
    essay_a: str
    essay_b: str
    kind: WaveKind
    error_code: str | None
    retry_count: int = 0
    in_flight: bool = False


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """What became of the failures, as of the last wave that was all in.

    total_failed: comparisons that failed at their first asking, which is always the sum of the entries,
    successful_retries and permanently_failed; retry_attempts: comparisons asked again;
    last_retry_batch: number of the last retry wave.
    """

    total_failed: int = 0
    retry_attempts: int = 0
    last_retry_batch: int | None = None
    successful_retries: int = 0
    permanently_failed: int = 0


@dataclass(frozen=True, slots=True)
class RetryPool:
    """Failed comparisons in the order in which they were first submitted, whatever order they failed in."""

    entries: tuple[FailedComparison, ...] = ()
    statistics: PoolStatistics = PoolStatistics()


class DecisionKind(StrEnum):
    """What the engine did when all callbacks were in; production's names where it has one."""

    RETRY_FAILED = "RETRY_FAILED"
    RESAMPLE = "RESAMPLE"
    FINALIZE_FAILURE = "FINALIZE_FAILURE"
    FINALIZE_SCORING = "FINALIZE_SCORING"
    REQUEST_MORE_COMPARISONS = "REQUEST_MORE_COMPARISONS"
    FINALIZE_NOTHING_SCHEDULABLE = "FINALIZE_NOTHING_SCHEDULABLE"


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry of the decision log.

    iteration: waves submitted when it was taken; reason: the facts that made it, by name.
    max_score_change: logits; None where there is nothing to compare with.
    """

    kind: DecisionKind
    reason: str
    iteration: int
    callbacks: int
    success_rate: float | None
    max_score_change: float | None


@dataclass(frozen=True, slots=True)
class State:
    """A batch in flight, or finished.

    asked: every comparison by its correlation id, in order of submission; scores: logits by essay from the last
    rescoring, None before the first one that worked; abandoned: comparisons that a recovered batch no longer waits
    for, 0 for every other.
    """

    batch: Batch
    waves: tuple[Wave, ...] = ()
    asked: Mapping[UUID, Comparison] = field(default_factory=dict)
    submitted: int = 0
    completed: int = 0
    failed: int = 0
    resampling_pass_count: int = 0
    pool: RetryPool = RetryPool()
    scores: Mapping[str, float] | None = None
    status: BatchStatus = BatchStatus.WAITING_CALLBACKS
    upload_status: UploadStatus = UploadStatus.PERFORMING_COMPARISONS
    decisions: tuple[Decision, ...] = ()
    duplicate_callbacks: int = 0
    late_callbacks: int = 0
    orphan_callbacks: int = 0
    malformed_callbacks: int = 0
    abandoned: int = 0

    @property
    def callbacks(self) -> int:
        """Return callbacks that counted: one for each answered comparison."""
        return self.completed + self.failed

    @property
    def pending(self) -> int:
        """Return comparisons submitted and not yet answered."""
        return self.submitted - self.callbacks

    @property
    def remaining(self) -> int:
        """Return comparisons that the budget still allows."""
        return self.batch.total_budget - self.submitted

    @property
    def progress(self) -> float:
        """Return share of the budget that is answered, 0 to 1."""
        return self.callbacks / self.batch.total_budget

    @property
    def finished(self) -> bool:
        """Return whether nothing more will be asked."""
        return self.status is not BatchStatus.WAITING_CALLBACKS

    def comparisons(self) -> list[Comparison]:
        """Return everything submitted, in order."""
        return [comparison for wave in self.waves for comparison in wave.comparisons]

    def won(self) -> list[tuple[str, str]]:
        """Return (winner, loser) of every successful comparison, in the order in which they were submitted."""
        return [outcome for wave in self.waves for outcome in wave.won]

    def closed_pairs(self) -> set[Pair]:
        """Return unordered pairs that a coverage wave may not ask: judged, in flight, or failed and to be retried.

        With retries switched off a pair that failed is open again; with them it belongs to the pool, or was given up.
        """
        if self.batch.settings.enable_failed_comparison_retry:
            return {comparison.pair for comparison in self.comparisons()}
        closed: set[Pair] = set()
        for wave in self.waves:
            for comparison in wave.comparisons:
                answer = wave.answers.get(comparison.correlation_id)
                if answer is None or answer.winner is not None:
                    closed.add(comparison.pair)
        return closed
