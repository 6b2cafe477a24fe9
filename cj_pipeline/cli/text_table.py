"""This module lays tables out as plain text of a given width: ASCII around the data, the data as it is."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from itertools import zip_longest

from cj_pipeline.foundation.text import plain

GAP = "  "

# What a column of words keeps when room is short, and what the first column keeps, which names the row.
WORDS = 12
NAME = 40

Row = Sequence[object]
Style = Callable[[str], str]


def table_lines(columns: Sequence[str], rows: Sequence[Row], width: int, style: Style = lambda cell: cell) -> list[str]:
    """Return a table as lines of at most this width; a row is a block of lines where the columns have no room.

    style: how a cell of one line is shown, which may add what takes no room (colour).
    """
    headings = [plain(column) for column in columns]
    cells = [[cell_text(value) for value in row] for row in rows]
    widths = _widths(headings, cells, width)
    if widths is None:
        return _blocks(headings, cells, width)
    right = [_numeric([row[place] for row in rows]) for place in range(len(headings))]
    lines = _row_lines(headings, widths, right, lambda cell: cell)
    lines.append(GAP.join("-" * width for width in widths))
    for row in cells:
        lines += _row_lines(row, widths, right, style)
    return lines


def cell_text(value: object) -> str:
    """Return how a table shows a value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}".removesuffix(".0")
    return plain(value)


def shown_width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def wrapped(text: str, width: int) -> list[str]:
    """Return a text as lines of at most this width, broken at blanks where it has any."""
    if shown_width(text) <= width:
        return [text]
    lines = textwrap.wrap(text, width, break_on_hyphens=False)
    if any(shown_width(line) > width for line in lines):
        lines = textwrap.wrap(text, max(1, width // 2), break_on_hyphens=False)
    return lines


def _numeric(values: Sequence[object]) -> bool:
    return bool(values) and all(isinstance(value, int | float | None) for value in values)


def _widths(headings: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Return the width of each column; None where not even the least that they need has room."""
    wanted, least = [], []
    for place, heading in enumerate(headings):
        natural = max((shown_width(row[place]) for row in cells), default=0)
        word = max((shown_width(word) for word in heading.split()), default=0)
        wanted.append(max(natural, shown_width(heading)))
        least.append(max(word, min(natural, WORDS if place else NAME)))
    room = width - len(GAP) * (len(headings) - 1)
    if sum(least) > room:
        return None
    widths = least
    for limit in range(max(wanted, default=0) + 1):
        wider = [min(most, max(few, limit)) for few, most in zip(least, wanted, strict=True)]
        if sum(wider) > room:
            break
        widths = wider
    return widths


def _row_lines(row: Sequence[str], widths: Sequence[int], right: Sequence[bool], style: Style) -> list[str]:
    pieces = [wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for line in zip_longest(*pieces, fillvalue=""):
        shown = []
        for cell, piece, width, numeric in zip(row, line, widths, right, strict=True):
            blanks = " " * (width - shown_width(piece))
            text = style(piece) if piece == cell else piece
            shown.append(blanks + text if numeric else text + blanks)
        lines.append(GAP.join(shown).rstrip())
    return lines


def _blocks(headings: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[str]:
    indent = min(max((shown_width(heading) for heading in headings), default=0), width // 3)
    lines: list[str] = []
    for number, row in enumerate(cells, start=1):
        lines.append(f"-- {number} " + "-" * 20)
        for heading, cell in zip(headings, row, strict=True):
            for name, piece in zip_longest(
                wrapped(heading, indent), wrapped(cell, width - indent - len(GAP)), fillvalue=""
            ):
                lines.append((name + " " * (indent - shown_width(name)) + GAP + piece).rstrip())
    return lines
