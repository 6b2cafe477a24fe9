"""Known grades from a file, for the essays of a new trace.

Here: one CSV of essay ids, grades and perhaps labels. Not here: grades of a scenario that is there already (eng5/).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from cj_pipeline.foundation.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Best to worst: the order of production's alignment reports.
GRADE_ORDER = ("A", "A-", "B+", "B", "B-", "C+", "C", "C-", "D+", "D", "D-", "E+", "E", "E-", "F+", "F")


@dataclass(frozen=True, slots=True)
class KnownGrade:
    """One row. label: None where the file has none."""

    grade: str
    label: str | None


def read_grade_file(path: Path, scale: Sequence[str] = GRADE_ORDER) -> dict[str, KnownGrade]:
    """Grades by essay id, from a CSV with the columns essay_id, grade and perhaps label.

    scale: the grades there are. Raises BadInput naming file, line and column, and never an essay: missing file or
    column, an empty id, a grade that is not on the scale, an essay graded twice.
    """
    if not path.is_file():
        raise BadInput("no such file.", path=path)
    try:
        # Read whole, in the one place where a byte that is no UTF-8 (Excel's own CSV) can be met.
        text = path.read_text(encoding="utf-8-sig", errors="strict")
    except UnicodeDecodeError:
        raise BadInput("is not UTF-8.", path=path, remedy="Save it as CSV UTF-8.") from None
    known: dict[str, KnownGrade] = {}
    with StringIO(text, newline="") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        for name in ("essay_id", "grade"):
            if name not in columns:
                # Without the columns there are: of a file without a heading they are the first pupil.
                raise BadInput(
                    f"has no column {name}.", path=path, line=1, remedy="The first line is essay_id,grade[,label]."
                )
        for row in reader:
            line = reader.line_num
            essay, grade = (row["essay_id"] or "").strip(), (row["grade"] or "").strip()
            if not essay:
                raise BadInput("is empty.", path=path, line=line, field="essay_id")
            if grade not in scale:
                raise BadInput(
                    "is not a grade of the scale.",
                    path=path,
                    line=line,
                    field="grade",
                    remedy=f"Best to worst: {' '.join(scale)}.",
                )
            if essay in known:
                raise BadInput("the essay is graded twice.", path=path, line=line, field="essay_id")
            known[essay] = KnownGrade(grade, (row.get("label") or "").strip() or None)
    return known
