"""This module defines the errors that a user can correct.

Errors of a single room (a winless item, a full queue) derive from these and are defined beside the code that raises
them; the wire's error codes are in contracts.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cj_pipeline.foundation.data_path import DataPath


class CjPipelineError(Exception):
    """Anything that a user can correct; the CLI prints it without a traceback and exits with 2."""


class BadInput(CjPipelineError):
    """Input that cannot be used, with its place and what to do about it.

    path: the file; line: 1-based, None when the whole file is meant; field: dotted key, None when no key is meant.
    """

    def __init__(
        self, problem: str, *, path: DataPath | str, line: int | None = None, field: str | None = None, remedy: str = ""
    ) -> None:
        self.problem = problem
        self.path = Path(str(path))
        self.line = line
        self.field = field
        self.remedy = remedy
        where = f"{path}:{line}" if line is not None else str(path)
        parts = [where, *([field] if field else []), problem]
        super().__init__(": ".join(parts) + (f" {remedy}" if remedy else ""))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the nearest of the known names and all of them; empty when nothing is known."""
    names = sorted(known)
    if not names:
        return ""
    near = get_close_matches(name, names, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"{hint}Known: {', '.join(names)}."


def shortened(text: str, longest: int = 100) -> str:
    """Return a text as a sentence may quote it: its beginning, where it is long."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"
