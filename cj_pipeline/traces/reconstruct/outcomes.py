"""This module reads `outcomes.csv`: every comparison of a run of which single outcomes were published.

A row is one comparison in the order in which it was asked. Its last column says which of its cells are published; the
others are assumed, in a way that `published.yaml` describes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cj_pipeline.foundation.tables import Column, TableRow, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

OUTCOMES_FILE = "outcomes.csv"

WINNERS = ("A", "B", "error")
PARTS = ("pair", "winner", "sides", "confidence")
"""What can be published of a row: who was compared, which of them won, who was shown as A, the confidence."""

_CONFIDENCE_RANGE = (1.0, 5.0)
_COLUMNS = (
    Column("wave", ("wave",)),
    Column("shown_a", ("shown_a",)),
    Column("shown_b", ("shown_b",)),
    Column("winner", ("winner",)),
    Column("confidence", ("confidence",)),
    Column("published", ("published",)),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One comparison. wave: 0-based; shown_a, shown_b: labels; winner: one of WINNERS; confidence: None to draw it.

    published: the PARTS of it that are.
    """

    wave: int
    shown_a: str
    shown_b: str
    winner: str
    confidence: float | None
    published: frozenset[str]


def read_outcomes(folder: Path) -> tuple[Outcome, ...]:
    """Read the `outcomes.csv` of a folder. Raises BadInput naming file, line and column."""
    rows = read_table(folder / OUTCOMES_FILE, _COLUMNS).rows
    found: list[Outcome] = []
    for row in rows:
        one = _outcome(row)
        wave = found[-1].wave if found else -1
        if one.wave not in (wave, wave + 1) or (not found and one.wave != 0):
            raise row.problem("wave", f"{one.wave} does not follow.", "Waves are numbered from 0, in the order asked.")
        found.append(one)
    return tuple(found)


def published_parts(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Return how often each part of an outcome is published."""
    return Counter(part for one in outcomes for part in one.published)


def _outcome(row: TableRow) -> Outcome:
    wave = row.number("wave")
    if not wave.is_integer() or wave < 0:
        raise row.problem("wave", f"'{row.text('wave')}' is no whole number from 0 on.")
    winner = row.text("winner")
    if winner not in WINNERS:
        raise row.problem("winner", f"'{winner}' is not one of {', '.join(WINNERS)}.")
    if row.text("shown_a") == row.text("shown_b"):
        raise row.problem("shown_b", "an essay is not compared with itself.")
    confidence = None if row.cells.get("confidence") is None else row.number("confidence")
    low, high = _CONFIDENCE_RANGE
    if confidence is not None and (winner == "error" or not low <= confidence <= high):
        raise row.problem("confidence", f"{confidence:g} cannot be.", "An answer has one from 1 to 5, an error none.")
    published = frozenset(() if row.cells.get("published") is None else row.text("published").split())
    if unknown := sorted(published - set(PARTS)):
        raise row.problem("published", f"'{unknown[0]}' is not one of {', '.join(PARTS)}.")
    if "confidence" in published and confidence is None:
        raise row.problem("confidence", "published, but missing.")
    return Outcome(int(wave), row.text("shown_a"), row.text("shown_b"), winner, confidence, published)
