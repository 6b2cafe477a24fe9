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
    named: dict[str, set[str]] = {}
    for item in items:
        for name in (item.label, item.id):
            named.setdefault(name, set()).add(item.id)
    grades: dict[str, str] = {}
    for row, name, known in grade_rows(path, scale, private=False):
        if name not in named:
            raise row.problem("essay_id", f"'{name}' is none of the essays compared.")
        if len(named[name]) > 1:
            raise row.problem("essay_id", f"'{name}' is the label of {len(named[name])} essays.", "Name it by its id.")
        (essay,) = named[name]
        if essay in grades:
            raise row.problem("essay_id", f"'{name}' is graded twice.")
        grades[essay] = known.grade
    return grades
