"""This module writes the table of stored formats of docs/versions.md."""

from __future__ import annotations

from cj_pipeline.foundation.stored_formats import ALL


def format_list() -> str:
    """Return every stored format with its versions, and what becomes of an older and of a newer one, as Markdown."""
    lines = [
        "| stored | where | version | marked by | an older one | a newer one |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {one.what} | {one.where} | {one.version} | {one.mark} | {one.older} | {one.newer} |" for one in ALL]
    return "\n".join(lines)
