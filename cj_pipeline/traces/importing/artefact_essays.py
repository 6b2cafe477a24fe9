"""This module says which essays an artefact compared, and the grades of its anchors.

An anchor has two names: its own (`inputs.anchors[].anchor_id`) and the one it was compared under, which production
derives from it: in upper case, with underscores, at most 36 characters, behind a prefix such as `student::`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cj_pipeline.traces.essay_key import anchor_keys, essay_key
from cj_pipeline.traces.scenario import Item

if TYPE_CHECKING:
    from cj_pipeline.traces.importing.artefact_file import Artefact


def graded_items(artefact: Artefact) -> tuple[Item, ...]:
    """Return every essay that a comparison names, by id, with its grade where it is an anchor of known grade.

    The score table's grade counts before the input list's: it is the one that the service went by.
    """
    compared = {
        essay
        for comparison in artefact.llm_comparisons
        for essay in (comparison.winner_id, comparison.loser_id, comparison.essay_a_id, comparison.essay_b_id)
        if essay
    }
    scored = {_key(row.essay_id): row.anchor_grade for row in artefact.bt_summary if row.is_anchor and row.anchor_grade}
    listed = {key: anchor for anchor in artefact.inputs.anchors for key in anchor_keys(anchor.anchor_id)}
    items = []
    for essay in sorted(compared):
        anchor = listed.get(_key(essay))
        grade = scored.get(_key(essay)) or (None if anchor is None else anchor.grade)
        name = None if anchor is None or not anchor.file_name else Path(anchor.file_name).stem
        items.append(Item(id=essay, label=name or essay, grade=grade))
    return tuple(items)


def stored_scores(artefact: Artefact, items: Iterable[Item]) -> dict[str, float]:
    """Return the artefact's own scores (logits) by the ids of these essays."""
    scores = {_key(row.essay_id): row.theta for row in artefact.bt_summary if row.theta is not None}
    return {item.id: scores[_key(item.id)] for item in items if _key(item.id) in scores}


def _key(essay: str) -> str:
    """Return an essay's name without `student::` or any other such prefix."""
    return essay_key(essay.rpartition("::")[2])
