"""This module ranks a batch's essays from best to worst, as they are published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from cj_pipeline.engine.scoring.diagnostics import BatchDiagnostics
from cj_pipeline.foundation.errors import CjPipelineError

# Scores that agree to nine decimals are one score: the fit stops some 1e-12 short of the maximum, and two essays with
# the same answers must not be ranked by what is left of that.
TIE_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class BatchEssay:
    """What a batch knows of an essay besides its score. metadata: passed on as it is."""

    essay_id: str
    is_anchor: bool = False
    text_storage_id: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RankingRow:
    """One essay's place. Equal scores share the better rank, and the next score counts them all: 1, 2, 2, 4.

    bradley_terry_score: logits; None for an essay that was not scored, which ranks behind all that were.
    bradley_terry_se: logits, 2.0 at most. comparison_count: successful comparisons it took part in.
    """

    rank: int
    els_essay_id: str
    bradley_terry_score: float | None
    bradley_terry_se: float | None
    comparison_count: int
    is_anchor: bool
    text_storage_id: str | None
    processing_metadata: Mapping[str, object]

    def as_dict(self) -> dict[str, object]:
        """Return the ranking under production's keys."""
        return asdict(self)


def rankings(essays: Iterable[BatchEssay], diagnostics: BatchDiagnostics) -> list[RankingRow]:
    """Rank essays, best first, anchors among the students; within a tie by id, whatever their order.

    Raises CjPipelineError when an essay is listed twice.
    """
    scored = {essay.essay_id: essay for essay in diagnostics.essays}
    listed = list(essays)
    if len({essay.essay_id for essay in listed}) < len(listed):
        raise CjPipelineError("an essay is listed twice; a ranking needs each once.")
    places: list[tuple[float | None, BatchEssay]] = []
    for essay in listed:
        numbers = scored.get(essay.essay_id)
        places.append((None if numbers is None else round(numbers.score, TIE_DECIMALS), essay))
    places.sort(key=lambda place: (place[0] is None, -(place[0] or 0.0), place[1].essay_id))
    rows: list[RankingRow] = []
    rank, previous = 0, None
    for position, (score, essay) in enumerate(places, start=1):
        if position == 1 or score != previous:
            rank, previous = position, score
        numbers = scored.get(essay.essay_id)
        rows.append(
            RankingRow(
                rank=rank,
                els_essay_id=essay.essay_id,
                bradley_terry_score=None if numbers is None else numbers.score,
                bradley_terry_se=None if numbers is None else numbers.standard_error,
                comparison_count=0 if numbers is None else numbers.comparison_count,
                is_anchor=essay.is_anchor,
                text_storage_id=essay.text_storage_id,
                processing_metadata=essay.metadata,
            )
        )
    return rows
