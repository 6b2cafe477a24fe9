"""This module prints what `benchmarks/celery_runs.py` measured: hundreds of scenarios, by launcher and workers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cj_pipeline.reports.rooms import REPOSITORY

FIGURES = REPOSITORY / "benchmarks" / "figures" / "celery_runs.json"

HEAD = ("executed by", "scenarios", "seconds", "runs a minute", "processor seconds", "speed-up", "failed", "repeated")
PAGE = "page of runs, s: median, longest"
"""The last column, where one of the series asked for that page."""

NOTHING = "No figures are stored yet: `python -m benchmarks.celery_runs --write` (an hour or more)."


def run_series_table(rows: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Return the series as Markdown; of the stored figures by default.

    speed-up: against the first series with as many scenarios. A series that was cut off says how far it came.
    """
    if rows is None:
        rows = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else []
    if not rows:
        return NOTHING
    first: dict[int, float] = {}
    with_page = any("page_median_s" in row for row in rows)
    head = (*HEAD, PAGE) if with_page else HEAD
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for row in rows:
        whole = row["ended"] == row["partitions"]
        rate = row["ended"] / row["seconds"] * 60 if row["seconds"] else 0.0
        base = first.setdefault(row["partitions"], rate)
        cells = [
            row["what"],
            str(row["partitions"]) if whole else f"{row['ended']} of {row['partitions']}",
            f"{row['seconds'] or 0:,.0f}",
            f"{rate:.1f}",
            f"{row['cpu_seconds']:,.0f}",
            f"{rate / base:.2f}" if base else "",
            str(row["failed"]),
            str(row["repeated"]),
        ]
        if with_page:
            cells.append(f"{row['page_median_s']}, {row['page_longest_s']}" if "page_median_s" in row else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
