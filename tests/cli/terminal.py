"""The terminal as a test sees it: arguments in, exit code and both streams out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cj_pipeline.cli.main import main


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Terminal = Callable[..., Answer]


def printed_rows(out: str, title: str) -> list[list[str]]:
    """The rows of one printed table; its title is the beginning of a line before it."""
    lines = out[out.index(title) :].splitlines()
    ruler = next(number for number, line in enumerate(lines) if line and set(line) <= {"-", " "})
    starts = [dashes.start() for dashes in re.finditer("-+", lines[ruler])]
    ends = [*starts[1:], None]
    found = []
    for line in lines[ruler + 1 :]:
        if not line:
            break
        found.append([line[start:end].strip() for start, end in zip(starts, ends, strict=True)])
    return found


def terminal_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """`cj-pipeline` in this process, as its entry point runs it."""

    def run(*arguments: object, columns: int = 200) -> Answer:
        monkeypatch.setattr(sys, "argv", ["cj-pipeline", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", str(columns))
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Answer(code, captured.out, " ".join(captured.err.split()))

    return run
