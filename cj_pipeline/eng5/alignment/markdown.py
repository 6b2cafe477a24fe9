"""This module writes an alignment report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from cj_pipeline.eng5.alignment.document import Report, Section, Table
from cj_pipeline.foundation.text import markdown_text, plain_lines


def markdown_of(report: Report, picture: str | None = None) -> str:
    """Return the report. picture: the address of the ladder, where there is one."""
    lines = [f"# {markdown_text(report.title)}", ""]
    for section in report.sections:
        lines += [f"## {markdown_text(section.title)}", "", *_lines(section)]
        if picture is not None and section.title.startswith("Anchors"):
            lines += [f"![The anchors on the scale of the judge]({picture})", ""]
    return "\n".join(lines).rstrip() + "\n"


def _lines(section: Section) -> Iterator[str]:
    if section.table is not None:
        yield from table_lines(section.table)
        yield ""
    for sentence in section.sentences:
        yield markdown_text(sentence)
        yield ""
    for name, text in section.preformatted:
        yield f"{markdown_text(name)}:"
        yield ""
        yield from (f"    {line}" for line in plain_lines(text).split("\n"))
        yield ""


def table_lines(table: Table) -> Iterator[str]:
    """Yield a table as Markdown; data is never markup."""
    yield _row(table.columns)
    yield "|" + "---|" * len(table.columns)
    yield from (_row(row) for row in table.rows)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(markdown_text(cell) for cell in cells) + " |"
