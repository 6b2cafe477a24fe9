"""Files of plain outcomes, read for `bt fit`: csv, jsonl or parquet with winner, loser and perhaps count.

Here: from a file to item names and comparisons, with errors that name file, line and column. Not here: the fit (bt/).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cj_pipeline.bt.comparisons import Comparisons, InvalidComparison
from cj_pipeline.foundation.errors import BadInput

Row = Mapping[str, object]

READERS = (".csv", ".jsonl", ".parquet")


def read_outcomes(path: Path) -> tuple[tuple[str, ...], Comparisons]:
    """Item names, sorted, and the comparisons between them by index.

    Raises BadInput: missing file, unknown kind, a row without winner or loser, a count that is no number >= 0.
    """
    if not path.is_file():
        raise BadInput("no such file.", path=path)
    if path.suffix not in READERS:
        raise BadInput(
            f"'{path.suffix}' is not a kind that is read.", path=path, remedy=f"Known: {', '.join(READERS)}."
        )
    outcomes: list[tuple[str, str]] = []
    counts: list[float] = []
    lines: list[int] = []
    for line, row in _rows(path):
        outcomes.append((_name(row, "winner", path, line), _name(row, "loser", path, line)))
        counts.append(_count(row, path, line))
        lines.append(line)
    items = tuple(sorted({name for outcome in outcomes for name in outcome}))
    index = {name: position for position, name in enumerate(items)}
    winners = [index[winner] for winner, _ in outcomes]
    losers = [index[loser] for _, loser in outcomes]
    try:
        return items, Comparisons(winners, losers, len(items), counts)
    except InvalidComparison as error:
        raise BadInput(
            error.problem if error.row is None else f"{items[winners[error.row]]}: {error.problem}",
            path=path,
            line=None if error.row is None else lines[error.row],
        ) from None


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """(1-based line, row); in a parquet file the line is the row's number."""
    if path.suffix == ".parquet":
        try:
            rows = pq.read_table(path).to_pylist()
        except pa.ArrowInvalid as error:
            raise BadInput(f"not a parquet file: {error}.", path=path) from None
        yield from enumerate(rows, start=1)
        return
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            for row in (reader := csv.DictReader(file)):
                yield reader.line_num, row
            return
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                document = json.loads(text)
            except ValueError:
                raise BadInput("not JSON.", path=path, line=line) from None
            if not isinstance(document, dict):
                raise BadInput("not a JSON object.", path=path, line=line)
            yield line, document


def _name(row: Row, column: str, path: Path, line: int) -> str:
    value = row.get(column)
    if value is None or value == "":
        raise BadInput("missing.", path=path, line=line, field=column, remedy="Columns: winner, loser[, count].")
    return str(value)


def _count(row: Row, path: Path, line: int) -> float:
    value = row.get("count")
    if value is None:
        return 1.0
    try:
        return float(str(value))
    except ValueError:
        raise BadInput(f"'{value}' is not a number.", path=path, line=line, field="count") from None
