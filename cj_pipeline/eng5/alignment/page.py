"""This module writes an alignment report as one HTML page, with its picture inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from html import escape

from cj_pipeline.eng5.alignment.document import Report, Section, Table
from cj_pipeline.foundation.text import plain, plain_lines

_STYLE = (
    "body{font:16px/1.45 system-ui,sans-serif;color:#333;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}th,td{border-bottom:1px solid #ddd;padding:.25rem .6rem;"
    "text-align:left;vertical-align:top}pre{white-space:pre-wrap;background:#f6f6f6;padding:.6rem}img{max-width:100%}"
)


def html_of(report: Report, picture: bytes) -> str:
    """Return the page. picture: the ladder as PNG. Nothing is loaded from elsewhere, and data is never markup."""
    lines = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{_text(report.title)}</title>',
        f"<style>{_STYLE}</style></head><body><h1>{_text(report.title)}</h1>",
    ]
    for section in report.sections:
        lines += [f"<h2>{_text(section.title)}</h2>", *_parts(section)]
        if section.title.startswith("Anchors"):
            encoded = b64encode(picture).decode()
            lines.append(f'<img alt="The anchors on the scale of the judge" src="data:image/png;base64,{encoded}">')
    return "\n".join([*lines, "</body></html>"]) + "\n"


def _parts(section: Section) -> Iterator[str]:
    if section.table is not None:
        yield from _table(section.table)
    for sentence in section.sentences:
        yield f"<p>{_text(sentence)}</p>"
    for name, text in section.preformatted:
        yield f"<p>{_text(name)}:</p><pre>{escape(plain_lines(text))}</pre>"


def _table(table: Table) -> Iterator[str]:
    yield "<table><thead><tr>" + "".join(f"<th>{_text(cell)}</th>" for cell in table.columns) + "</tr></thead><tbody>"
    for row in table.rows:
        yield "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>"
    yield "</tbody></table>"


def _text(text: str) -> str:
    return escape(plain(text))
