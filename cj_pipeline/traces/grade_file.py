"""This module reads known grades of essays from a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cj_pipeline.foundation.tables import Column, TableRow, read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# Best to worst: the order of production's alignment reports.
GRADE_ORDER = ("A", "A-", "B+", "B", "B-", "C+", "C", "C-", "D+", "D", "D-", "E+", "E", "E-", "F+", "F")

# Production's own tables name them in several ways.
ESSAY = Column("essay_id", ("essay_id", "id", "ANCHOR-ID", "FILE-NAME", "label"))
GRADE = Column("grade", ("grade", "pred_mode_grade"))
LABEL = Column("label", ("label",), required=False)


@dataclass(frozen=True, slots=True)
class KnownGrade:
    """One row. label: None where the table has none."""

    grade: str
    label: str | None


def read_grade_file(path: Path, scale: Sequence[str] = GRADE_ORDER) -> dict[str, KnownGrade]:
    """Return grades by essay. scale: the grades there are. Raises BadInput that names no essay; see grade_rows."""
    return {essay: known for _, essay, known in grade_rows(path, scale, private=True)}


def grade_rows(path: Path, scale: Sequence[str], *, private: bool) -> Iterator[tuple[TableRow, str, KnownGrade]]:
    """Yield row, essay and grade of a table with an essay and a grade in each row, and perhaps a label.

    private: no error quotes a cell, which may name a pupil. Raises BadInput naming file, line and column: what
    read_table raises, an empty cell, a grade that is not on the scale, an essay graded twice.
    """
    seen: set[str] = set()
    for row in read_table(path, (ESSAY, GRADE, LABEL), private=private).rows:
        essay, grade = row.text("essay_id"), row.text("grade")
        if grade not in scale:
            problem = "is not a grade of the scale." if private else f"'{grade}' is not a grade of the scale."
            raise row.problem("grade", problem, f"Best to worst: {' '.join(scale)}.")
        if essay in seen:
            raise row.problem("essay_id", "the essay is graded twice.")
        seen.add(essay)
        yield row, essay, KnownGrade(grade, None if row.cells.get("label") is None else row.text("label"))
