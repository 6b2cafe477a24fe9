"""This module reads known grades for essays that a scenario does not grade."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cj_pipeline.traces.grade_file import GRADE_ORDER, grade_rows
from cj_pipeline.traces.scenario import Item


def read_grades(path: Path, items: Iterable[Item], scale: Sequence[str] = GRADE_ORDER) -> dict[str, str]:
    """Return grades by essay id, from a table that names essays by id or by label. scale: the grades there are.

    Raises BadInput naming file, line and column: what grade_rows raises, an essay that was not compared, an essay
    graded by its id and again by its label.
    """
    by_name = {name: item.id for item in items for name in (item.label, item.id)}
    grades: dict[str, str] = {}
    for row, name, known in grade_rows(path, scale, private=False):
        if name not in by_name:
            raise row.problem("essay_id", f"'{name}' is none of the essays compared.")
        if by_name[name] in grades:
            raise row.problem("essay_id", f"'{name}' is graded twice.")
        grades[by_name[name]] = known.grade
    return grades
