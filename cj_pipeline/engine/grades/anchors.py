"""This module finds an anchor's known grade, by production's order of sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PUBLISHED_LETTERS = ("A", "B", "C", "D", "E", "F", "U")
UNGRADED = "U"


@dataclass(frozen=True, slots=True)
class AnchorReferences:
    """Grades of an assignment's registered anchor texts, by each of the two ids an essay may carry."""

    by_text_storage_id: Mapping[str, str] = field(default_factory=dict)
    by_anchor_ref_id: Mapping[str, str] = field(default_factory=dict)


def anchor_grade(
    metadata: Mapping[str, object], text_storage_id: str | None, references: AnchorReferences
) -> str | None:
    """Return the first grade among: metadata `anchor_grade`, `known_grade`, the references of text and anchor.

    None when no source knows; such an anchor is compared and ranked, and calibrates nothing.
    """
    for key in ("anchor_grade", "known_grade"):
        stated = metadata.get(key)
        if isinstance(stated, str) and stated.strip():
            return stated.strip()
    stored = text_storage_id or metadata.get("text_storage_id")
    if isinstance(stored, str) and stored in references.by_text_storage_id:
        return references.by_text_storage_id[stored]
    reference = metadata.get("anchor_ref_id")  # a number in some rows, a string in others
    return references.by_anchor_ref_id.get(str(reference)) if reference is not None else None


def published_distribution(grades: Iterable[str | None]) -> dict[str, int]:
    """Return how many anchors have each letter, finer steps under their letter: `anchor_grade_distribution`.

    Unknown grades and those that are no letter (the numbers of a national scale) count as U.
    """
    tally = dict.fromkeys(PUBLISHED_LETTERS, 0)
    for grade in grades:
        letter = grade[:1] if grade else UNGRADED
        tally[letter if letter in tally else UNGRADED] += 1
    return tally
