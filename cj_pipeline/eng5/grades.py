"""Known grades from a file, for essays that a scenario does not grade."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.traces.grade_file import GRADE_ORDER
from cj_pipeline.traces.scenario import Item

# Production's CSVs name them in several ways.
ID_COLUMNS = ("essay_id", "id", "label", "ANCHOR-ID", "FILE-NAME")
GRADE_COLUMNS = ("grade", "pred_mode_grade")


def read_grades(path: Path, items: Iterable[Item]) -> dict[str, str]:
    """Grades by essay id, from a CSV with an id (or label) and a grade in each row.

    Raises BadInput naming file, line and column: missing file or column, an essay that was not compared, a grade that
    is not on the scale, an essay graded twice.
    """
    by_name = {name: item.id for item in items for name in (item.label, item.id)}
    if not path.is_file():
        raise BadInput("no such file.", path=path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        id_column = _column(path, columns, ID_COLUMNS)
        grade_column = _column(path, columns, GRADE_COLUMNS)
        grades: dict[str, str] = {}
        for row in reader:
            line = reader.line_num
            name, grade = (row[id_column] or "").strip(), (row[grade_column] or "").strip()
            if name not in by_name:
                raise BadInput(f"'{name}' is none of the essays compared.", path=path, line=line, field=id_column)
            if grade not in GRADE_ORDER:
                raise BadInput(
                    f"'{grade}' is not a grade.",
                    path=path,
                    line=line,
                    field=grade_column,
                    remedy=f"Best to worst: {' '.join(GRADE_ORDER)}.",
                )
            if by_name[name] in grades:
                raise BadInput(f"'{name}' is graded twice.", path=path, line=line, field=id_column)
            grades[by_name[name]] = grade
    return grades


def _column(path: Path, columns: Iterable[str], wanted: tuple[str, ...]) -> str:
    for name in wanted:
        if name in columns:
            return name
    raise BadInput(
        f"has none of the columns {', '.join(wanted)}.", path=path, line=1, remedy=did_you_mean(wanted[0], columns)
    )
