"""This module writes an alignment report into files: Markdown and HTML, short and full."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cj_pipeline.eng5.alignment.case import AlignmentCase
from cj_pipeline.eng5.alignment.document import Side, report_of
from cj_pipeline.eng5.alignment.ladder import ladder_png
from cj_pipeline.eng5.alignment.markdown import markdown_of
from cj_pipeline.eng5.alignment.page import html_of
from cj_pipeline.eng5.alignment.result import evaluate
from cj_pipeline.warehouse.files import write_output


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """The files of a report, the short Markdown first, and what they say."""

    files: tuple[Path, ...]
    sides: tuple[Side, ...]


def write_report(
    cases: Sequence[AlignmentCase], folder: Path, moment: datetime, *, names: Sequence[str] = (), database: bool = False
) -> WrittenReport:
    """Write the report of one run, or of two beside each other. moment: for the names of the files.

    names: of the sides; database: whether the run was read from a CJ database, which the file names say.
    """
    shown = names or [""] * len(cases)
    sides = tuple(Side(case, evaluate(case), name) for case, name in zip(cases, shown, strict=True))
    kind = "anchor_align_db" if database else "anchor_align"
    stamp = f"{moment:%Y%m%dT%H%M%SZ}"
    label = re.sub(r"[^A-Za-z0-9._-]+", "_", cases[0].title).strip("._")[:80] or "run"
    folder.mkdir(parents=True, exist_ok=True)
    picture = ladder_png(sides)
    ladder = folder / f"{kind}_ladder_{label}_{stamp}.png"
    write_output(ladder, picture)
    written = []
    for full in (False, True):
        report = report_of(sides, full=full)
        stem = f"{kind}_full_{label}_{stamp}" if full else f"{kind}_{label}_{stamp}"
        for ending, text in (("md", markdown_of(report, ladder.name)), ("html", html_of(report, picture))):
            path = folder / f"{stem}.{ending}"
            written.append(write_output(path, text))
    return WrittenReport((*written, ladder), sides)
