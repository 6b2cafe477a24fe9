"""What the engine wants done in the world. Whoever drives it carries these out; the engine never does."""

from __future__ import annotations

from dataclasses import dataclass

from cj_pipeline.cj.state import Comparison, UploadStatus, WaveKind


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


Effect = SubmitWave | Finalize
