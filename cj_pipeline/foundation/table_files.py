"""This module opens the kinds of files that hold tables, and makes headings and rows of each."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.input_file import read_input, refuse_large_archive

# The separators that spreadsheets write; which of them is meant is seen by the headings that are asked for.
SEPARATORS = (",", ";", "\t")

# A table is held in memory as a whole, several times as large; 10 million outcomes have some 200 MB.
MOST_BYTES = 512 * 2**20
MOST_ROWS = 20_000_000

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading and the place of its column, from 0."""

    position: int
    text: str


@dataclass(frozen=True, slots=True)
class RawTable:
    """What a file holds: headings, then rows of as many cells, each with its line. notices: what was left out."""

    path: Path
    headings: tuple[Heading, ...]
    rows: list[tuple[int, list[object]]]
    notices: tuple[str, ...] = ()


Reader = Callable[[Path, frozenset[str]], RawTable]


def heading_key(heading: str) -> str:
    """Return what two headings have in common that differ in case, blanks, `_` or `-` only."""
    return "".join(unicodedata.normalize("NFKC", heading).casefold().split()).replace("_", "").replace("-", "")


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8 or, with a mark at its beginning, UTF-16. Raises BadInput for any other."""
    content = read_input(path, MOST_BYTES)
    try:
        text = content.decode("utf-16" if content.startswith(_UTF16_MARKS) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        kind = "CSV UTF-8" if path.suffix.lower() == ".csv" else "UTF-8"
        raise BadInput("is not UTF-8.", path=path, line=line, remedy=f"Save it as {kind}.") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadInput("is not text: it holds a NUL.", path=path, line=line, remedy="Save it as UTF-8.")
    return text


def _csv(path: Path, wanted: frozenset[str]) -> RawTable:
    text = read_text(path)
    first = text.partition("\n")[0]
    separator = max(SEPARATORS, key=lambda separator: sum(cell in wanted for cell in _first_cells(first, separator)))
    rows: list[tuple[int, list[object]]] = []
    headings: list[str] | None = None
    # strict: a quote that is never closed would swallow the rest of the file in silence.
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            if headings is None:
                headings = cells
            elif cells:
                rows.append((reader.line_num, _fitted(cells, len(headings), path, reader.line_num)))
    except csv.Error as error:
        raise BadInput(f"not a row: {error}.", path=path, line=reader.line_num, remedy="Mend the quotes.") from None
    return RawTable(path, _headings(headings or ()), rows)


def _first_cells(line: str, separator: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return []
    return [heading_key(cell) for cell in cells]


def _fitted(cells: Iterable[object], width: int, path: Path, line: int) -> list[object]:
    """Return as many cells as there are headings. Raises BadInput when there are filled cells beyond them."""
    filled = list(cells)
    while len(filled) > width and filled[-1] in ("", None):
        filled.pop()
    if len(filled) > width:
        raise BadInput(f"has {len(filled)} cells, line 1 has {width}.", path=path, line=line, remedy="Mend the row.")
    return filled + [None] * (width - len(filled))


def _xlsx(path: Path, wanted: frozenset[str]) -> RawTable:
    from openpyxl import load_workbook

    try:
        refuse_large_archive(path)
        workbook = load_workbook(path, read_only=True, data_only=True)
        sheets = [(sheet.title, [list(row) for row in sheet.iter_rows(values_only=True)]) for sheet in workbook]
        workbook.close()
    except (OSError, BadInput):
        raise
    except Exception as error:  # a damaged archive, a missing part, bad XML: openpyxl has no class of its own for them
        raise BadInput(f"not an Excel workbook: {error}.", path=path, remedy="Save it as .xlsx.") from None
    filled = [(title, rows) for title, rows in sheets if rows]
    if not filled:
        return RawTable(path, (), [])
    headings, *rows = filled[0][1]
    while headings and headings[-1] is None:
        headings.pop()
    return RawTable(
        path,
        _headings("" if cell is None else str(cell) for cell in headings),
        [(number, _fitted(row, len(headings), path, number)) for number, row in enumerate(rows, start=2)],
        tuple(f"not used: the sheet '{title}'" for title, _ in filled[1:]),
    )


def _jsonl(path: Path, wanted: frozenset[str]) -> RawTable:
    documents: list[tuple[int, dict[str, object]]] = []
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise BadInput("not JSON.", path=path, line=line) from None
        if not isinstance(document, dict):
            raise BadInput("not a JSON object.", path=path, line=line)
        documents.append((line, document))
    names = list(dict.fromkeys(name for _, document in documents for name in document))
    rows = [(line, [document.get(name) for name in names]) for line, document in documents]
    return RawTable(path, _headings(names), rows)


def _parquet(path: Path, wanted: frozenset[str]) -> RawTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows_held = pq.read_metadata(path).num_rows  # of one value repeated, they take no room in the file
        if rows_held > MOST_ROWS:
            raise BadInput(f"has {rows_held:,} rows; at most {MOST_ROWS:,} are read.", path=path)
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"not a parquet file: {error}.", path=path) from None
    columns = [column.to_pylist() for column in table.columns]
    rows = [(number, list(cells)) for number, cells in enumerate(zip(*columns, strict=True), start=1)]
    return RawTable(path, _headings(table.column_names), rows)


def _headings(names: Iterable[str]) -> tuple[Heading, ...]:
    return tuple(Heading(position, name.strip()) for position, name in enumerate(names))


READERS: Mapping[str, Reader] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".xlsx": _xlsx,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}
