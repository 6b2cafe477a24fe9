"""This module holds the effects of a step: what the engine reports and wants done. Its driver carries them out.

Effects stand in the order in which they came about. `Taken` is there once for every callback, so that a service counts
its metrics from the effects and from nothing else; what was decided is in `State.decisions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from cj_pipeline.engine.state import Comparison, UploadStatus, WaveKind


class CallbackKind(StrEnum):
    """What a callback was to its batch. Only the first three count, and each comparison gets exactly one of them."""

    SUCCESS = "success"
    ERROR = "error"
    MALFORMED = "malformed"
    """Neither winner nor error (or both): counted as failed under INVALID_RESPONSE, never retried."""
    DUPLICATE = "duplicate"
    """A comparison that is answered already; the first answer stands."""
    LATE = "late"
    """A comparison of a batch that is over."""
    ORPHAN = "orphan"
    """A correlation id that this batch never sent."""


class PoolChange(StrEnum):
    """What a callback means for the retry pool. The pool itself moves when the wave is all in."""

    ENTERED = "entered"
    FAILED_AGAIN = "failed_again"
    RETRIED_WITH_SUCCESS = "retried_with_success"
    PERMANENTLY_FAILED = "permanently_failed"


@dataclass(frozen=True, slots=True)
class Taken:
    """One callback, and what it was.

    comparison: None for an orphan; error_code: None unless it counted as failed; pool: None where nothing changes.
    """

    kind: CallbackKind
    correlation_id: UUID
    comparison: Comparison | None = None
    error_code: str | None = None
    pool: PoolChange | None = None

    @property
    def counted(self) -> bool:
        """Return whether it moved completed or failed."""
        return self.kind in (CallbackKind.SUCCESS, CallbackKind.ERROR, CallbackKind.MALFORMED)


@dataclass(frozen=True, slots=True)
class SubmitWave:
    """Put these comparisons to the judge, in this order."""

    kind: WaveKind
    iteration: int
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Finalize:
    """The batch is over: publish its scores, or its failure."""

    upload_status: UploadStatus
    reason: str


Effect = Taken | SubmitWave | Finalize
