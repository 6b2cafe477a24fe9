"""This module turns a scored batch into the input of the projection: scores, known grades, parts of the net."""

from __future__ import annotations

from collections.abc import Iterable

from cj_pipeline.engine.grades.anchors import AnchorReferences, anchor_grade
from cj_pipeline.engine.grades.projection import ScoredEssay
from cj_pipeline.engine.scoring.diagnostics import BatchDiagnostics
from cj_pipeline.engine.scoring.rankings import BatchEssay


def scored_essays(
    essays: Iterable[BatchEssay], diagnostics: BatchDiagnostics, references: AnchorReferences | None = None
) -> list[ScoredEssay]:
    """Return every essay with its score and, when `is_anchor` says that it is one, its known grade.

    The standard error is the one within the essay's own part of the net: anchors of that part are what its score is
    read against, so essays elsewhere cannot make it less certain.
    """
    known = references if references is not None else AnchorReferences()
    numbers = {essay.essay_id: essay for essay in diagnostics.essays}
    found = []
    for essay in essays:
        scored = numbers.get(essay.essay_id)
        found.append(
            ScoredEssay(
                essay_id=essay.essay_id,
                score=None if scored is None else scored.score,
                standard_error=float("inf") if scored is None else scored.within_part_error,
                part=-1 if scored is None else scored.part,
                is_anchor=essay.is_anchor,
                known_grade=anchor_grade(essay.metadata, essay.text_storage_id, known) if essay.is_anchor else None,
            )
        )
    return found
