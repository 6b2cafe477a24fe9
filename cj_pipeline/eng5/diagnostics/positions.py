"""This module reports in which place essays were shown: each essay, and anchors against students.

Does an essay stand first too often, and does standing first help? Two questions of a judge and of a pairing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.els_request import ANCHOR_PREFIX
from cj_pipeline.eng5.alignment.case import AlignmentCase
from cj_pipeline.eng5.boundary import Estimate, share
from cj_pipeline.engine.scoring.places import Places, Shown, pairs_in_one_order, places_of

ANCHORS, STUDENTS, MIXED = "anchors", "students", "anchor and student"


@dataclass(frozen=True, slots=True)
class EssayPlaces:
    """One essay. places: comparisons without a winner count as shown."""

    essay_id: str
    label: str
    anchor: bool
    places: Places


@dataclass(frozen=True, slots=True)
class GroupPlaces:
    """Comparisons of one kind of pair.

    first_won: the share of those with a winner that the essay shown first won. anchor_first: the share in which the
    anchor was shown first; None where no pair has one anchor and one student.
    """

    kind: str
    shown: int
    first_won: Estimate
    anchor_first: Estimate | None


@dataclass(frozen=True, slots=True)
class Positions:
    """A whole run. repeated: pairs shown more than once, of which one_order were always shown in the same order."""

    essays: tuple[EssayPlaces, ...]
    groups: tuple[GroupPlaces, ...]
    repeated: int
    one_order: int

    @property
    def worst(self) -> EssayPlaces | None:
        """The essay that was shown most unevenly."""
        return max(self.essays, key=lambda essay: essay.places.skew, default=None)


def positions(case: AlignmentCase) -> Positions:
    """Return the places of every essay that a run compared, anchors first."""
    anchors = {*case.grades, *case.ungraded} | {essay for essay in case.labels if essay.startswith(ANCHOR_PREFIX)}
    shown = _shown(case.callbacks)
    essays = [
        EssayPlaces(essay, case.labels.get(essay, essay), essay in anchors, places)
        for essay, places in places_of(shown).items()
    ]
    kinds: dict[str, list[Shown]] = {ANCHORS: [], STUDENTS: [], MIXED: []}
    for one in shown:
        count = (one[0] in anchors) + (one[1] in anchors)
        kinds[(STUDENTS, MIXED, ANCHORS)[count]].append(one)
    groups = [_group(kind, found, anchors) for kind, found in kinds.items() if found]
    repeated, one_order = pairs_in_one_order(shown)
    essays.sort(key=lambda essay: (not essay.anchor, essay.label))
    return Positions(tuple(essays), tuple(groups), repeated, one_order)


def positions_document(found: Positions) -> dict[str, Any]:
    """Return the report as JSON values."""
    return {
        "essays": [
            {"essay_id": one.essay_id, "label": one.label, "anchor": one.anchor, **asdict(one.places),
             "skew": one.places.skew}
            for one in found.essays
        ],
        "groups": [asdict(group) for group in found.groups],
        "repeated_pairs": found.repeated,
        "repeated_pairs_in_one_order": found.one_order,
        "largest_skew": None if found.worst is None else found.worst.places.skew,
    }  # fmt: skip


def _shown(callbacks: Iterable[LLMComparisonResultV1]) -> list[Shown]:
    """Return each comparison once, however often it was delivered."""
    once = {callback.correlation_id: callback for callback in callbacks}
    return [(*callback.essay_ids(), callback.winning_essay()) for callback in once.values()]


def _group(kind: str, shown: Sequence[Shown], anchors: set[str]) -> GroupPlaces:
    decided = [one for one in shown if one[2] is not None]
    first_won = share(sum(first == winner for first, _, winner in decided), len(decided))
    anchor_first = share(sum(first in anchors for first, _, _ in shown), len(shown)) if kind == MIXED else None
    return GroupPlaces(kind, len(shown), first_won, anchor_first)
