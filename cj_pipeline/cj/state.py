"""What the engine remembers of a batch: frozen values, nothing else.

Here: the batch as it was asked for, its waves, and its state. Not here: what changes them (engine.py), what follows
from them (facts.py).

A state is never edited: `advance` returns a new one that shares all finished waves with the old, so a callback costs
as much as the open wave is wide, however long the batch has run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from uuid import UUID

from cj_pipeline.contracts.engine_settings import EngineSettings


class WaveKind(StrEnum):
    """Why a wave's pairs were chosen (`pair_generation_mode` of production's rows)."""

    COVERAGE = "coverage"
    RESAMPLING = "resampling"


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
    ERROR_PROCESSING = "ERROR_PROCESSING"


@dataclass(frozen=True, slots=True)
class PlannedPair:
    """A pair that a trace prescribes, in the orientation in which it was shown.

    correlation_id: the recorded one when the recorded answer itself is to be used; None where a fresh one is wanted.
    """

    essay_a: str
    essay_b: str
    correlation_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch is asked to do; fixed when it starts.

    items: essay ids, sorted and distinct; seed: of everything drawn in this batch;
    plan: the waves that `Pairing.RECORDED` follows, empty otherwise.
    """

    bos_batch_id: str
    cj_batch_id: int
    items: tuple[str, ...]
    settings: EngineSettings
    seed: int
    plan: tuple[tuple[PlannedPair, ...], ...] = ()

    @property
    def total_budget(self) -> int:
        """Comparisons that may be submitted in all; never changes (the completion denominator)."""
        return self.settings.max_pairwise_comparisons

    @property
    def max_possible_pairs(self) -> int:
        """Unordered pairs of the net."""
        return len(self.items) * (len(self.items) - 1) // 2

    def pairs(self) -> list[tuple[str, str]]:
        """Every unordered pair, both ids in sorted order."""
        return list(combinations(self.items, 2))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pair put to the judge, in the order in which it is shown."""

    correlation_id: UUID
    essay_a: str
    essay_b: str
    kind: WaveKind
    iteration: int

    @property
    def pair(self) -> tuple[str, str]:
        """The pair without its orientation."""
        return (self.essay_a, self.essay_b) if self.essay_a < self.essay_b else (self.essay_b, self.essay_a)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one comparison: the winning essay, or the code of the error."""

    winner: str | None
    error_code: str | None


@dataclass(frozen=True, slots=True)
class Wave:
    """Comparisons submitted together, with the answers that are in."""

    comparisons: tuple[Comparison, ...]
    answers: Mapping[UUID, Answer] = field(default_factory=dict)


class DecisionKind(StrEnum):
    """What the engine did when all callbacks were in; production's names where it has one."""

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

    wave_of: correlation id -> index of its wave; scores: logits by essay from the last rescoring, None before the
    first one that worked.
    """

    batch: Batch
    waves: tuple[Wave, ...] = ()
    wave_of: Mapping[UUID, int] = field(default_factory=dict)
    submitted: int = 0
    completed: int = 0
    failed: int = 0
    resampling_pass_count: int = 0
    scores: Mapping[str, float] | None = None
    status: BatchStatus = BatchStatus.WAITING_CALLBACKS
    upload_status: UploadStatus = UploadStatus.PERFORMING_COMPARISONS
    decisions: tuple[Decision, ...] = ()
    duplicate_callbacks: int = 0
    late_callbacks: int = 0
    orphan_callbacks: int = 0

    @property
    def callbacks(self) -> int:
        """Callbacks that counted: one for each answered comparison."""
        return self.completed + self.failed

    @property
    def pending(self) -> int:
        """Comparisons submitted and not yet answered."""
        return self.submitted - self.callbacks

    @property
    def remaining(self) -> int:
        """Comparisons that the budget still allows."""
        return self.batch.total_budget - self.submitted

    @property
    def finished(self) -> bool:
        """Whether nothing more will be asked."""
        return self.status is not BatchStatus.WAITING_CALLBACKS

    def comparisons(self) -> list[Comparison]:
        """Everything submitted, in order."""
        return [comparison for wave in self.waves for comparison in wave.comparisons]

    def won(self) -> list[tuple[str, str]]:
        """(winner, loser) of every successful comparison, in the order in which they were submitted."""
        outcomes: list[tuple[str, str]] = []
        for wave in self.waves:
            for comparison in wave.comparisons:
                answer = wave.answers.get(comparison.correlation_id)
                if answer is not None and answer.winner is not None:
                    first, second = comparison.essay_a, comparison.essay_b
                    outcomes.append((first, second) if answer.winner == first else (second, first))
        return outcomes
