"""This module reads tables that people bring: CSV, TSV, XLSX, JSONL and Parquet, by the headings that are asked for.

It does not know what the columns mean.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.table_files import READERS, Heading, RawTable, heading_key

# The terminal shows its warnings on standard error (cli/main.py).
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is asked for: its name here, and the headings it may have, the best first.

    required: whether a table must have it; exclusive: whether a table may have one of the headings only.
    """

    name: str
    headings: tuple[str, ...]
    required: bool = True
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row. line: 1-based, in Parquet the number of the row; cells: by name of the column, None where empty."""

    path: Path
    line: int
    cells: Mapping[str, object]
    headings: Mapping[str, str]

    def text(self, column: str) -> str:
        """Return a cell as text, without blanks around it and in one form (NFC). Raises BadInput when it is empty."""
        value = self.cells.get(column)
        if value is None:
            raise self.problem(column, "missing.")
        if isinstance(value, float) and value.is_integer():  # a sheet's only kind of number
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self.problem(column, f"{value!r} is neither text nor a whole number.")
        return unicodedata.normalize("NFC", str(value)).strip()

    def number(self, column: str) -> float:
        """Return a cell as a number. Raises BadInput when it is empty or none."""
        value = self.cells.get(column)
        if value is None:
            raise self.problem(column, "missing.")
        try:
            return float(str(value))
        except ValueError:
            raise self.problem(column, f"'{value}' is not a number.", "Numbers have a point: 1.5.") from None

    def problem(self, column: str, problem: str, remedy: str = "") -> BadInput:
        """Return the error that names this row, and the column as the file calls it."""
        return BadInput(problem, path=self.path, line=self.line, field=self.headings.get(column, column), remedy=remedy)


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file; columns: by name, the heading that the file has for it."""

    path: Path
    columns: Mapping[str, str]
    rows: tuple[TableRow, ...]


def read_table(
    path: Path, wanted: Sequence[Column], *, refused: Mapping[str, str] | None = None, private: bool = False
) -> Table:
    """Read the wanted columns of a table; a warning names the columns that are not used.

    Headings are matched without regard to case, blanks, `_` and `-`. refused: headings that would change what the
    others mean, each with what to do instead; private: no message quotes a cell of the first line, which in a file
    without headings is a pupil. Raises BadInput naming file and line: a kind that is not read, a file that is not
    of its kind, a wanted column that is missing or there twice, a row that does not fit the headings, no rows.
    """
    reader = READERS.get(path.suffix.lower())
    if not path.is_file():
        raise BadInput("is a directory; a table is wanted." if path.is_dir() else "no such file.", path=path)
    if reader is None:
        raise BadInput(
            f"'{path.suffix}' is not a kind that is read.", path=path, remedy=f"Known: {', '.join(READERS)}."
        )
    raw = reader(
        path, frozenset(heading_key(heading) for column in wanted if column.required for heading in column.headings)
    )
    found = _match(raw, wanted, private)
    unused = [heading for heading in raw.headings if heading not in found.values()]
    for heading in unused:
        remedy = {heading_key(name): remedy for name, remedy in (refused or {}).items()}.get(heading_key(heading.text))
        if remedy is not None:
            raise BadInput("is not a column that is understood.", path=path, line=1, field=heading.text, remedy=remedy)
    named = {name: heading.text for name, heading in found.items()}
    rows = tuple(_rows(raw, found, named))
    if not rows:
        raise BadInput("no rows.", path=path)
    if unused:
        logger.warning("%s: not used: %s", path, _listed(unused))
    for notice in raw.notices:
        logger.warning("%s: %s", path, notice)
    return Table(path, named, rows)


def warn_of_lookalikes(path: Path, names: Sequence[str]) -> None:
    """Warn of names that differ but look the same in print."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(_look(name), name)
        if other != name:
            logger.warning("%s: %a and %a look the same and are two items", path, other, name)


def _look(name: str) -> str:
    """Return the name without what is not seen: format characters, kinds of blanks, compatibility forms."""
    shown = "".join(char for char in unicodedata.normalize("NFKC", name) if unicodedata.category(char) != "Cf")
    return " ".join(shown.split())


def _match(raw: RawTable, wanted: Sequence[Column], private: bool) -> dict[str, Heading]:
    """Return the headings of the wanted columns, by name of the column."""
    found: dict[str, Heading] = {}
    for column in wanted:
        free = [heading for heading in raw.headings if heading not in found.values()]
        matching = [
            heading for name in column.headings for heading in free if heading_key(heading.text) == heading_key(name)
        ]
        twice = len({heading_key(heading.text) for heading in matching}) < len(matching)
        if twice or (column.exclusive and len(matching) > 1):
            raise BadInput(f"line 1 has {_listed(matching)}; keep one of them.", path=raw.path, line=1)
        if matching:
            found[column.name] = matching[0]
        elif column.required:
            raise _missing(raw, column, wanted, private)
    return found


def _missing(raw: RawTable, column: Column, wanted: Sequence[Column], private: bool) -> BadInput:
    if not raw.headings:
        return BadInput("no rows.", path=raw.path)
    there = "" if private else f"; line 1 has {_listed(raw.headings)}"
    columns = ",".join(other.name for other in wanted if other.required)
    columns += "".join(f"[,{other.name}]" for other in wanted if not other.required)
    return BadInput(
        f"has no column {' or '.join(column.headings)}{there}.",
        path=raw.path,
        line=1,
        remedy=f"The first line is {columns}, with commas, semicolons or tabs between.",
    )


def _rows(raw: RawTable, found: Mapping[str, Heading], named: Mapping[str, str]) -> Iterator[TableRow]:
    for line, cells in raw.rows:
        if any(_filled(cell) for cell in cells):
            picked = {
                name: cells[heading.position] if _filled(cells[heading.position]) else None
                for name, heading in found.items()
            }
            yield TableRow(raw.path, line, picked, named)


def _filled(cell: object) -> bool:
    return cell is not None and not (isinstance(cell, str) and not cell.strip())


def _listed(headings: Sequence[Heading]) -> str:
    shown = [
        f"'{heading.text}'" if heading.text else f"no. {heading.position + 1} (no heading)" for heading in headings
    ]
    more = f" and {len(shown) - 12} more" if len(shown) > 12 else ""
    return ("the column " if len(shown) == 1 else "the columns ") + ", ".join(shown[:12]) + more
