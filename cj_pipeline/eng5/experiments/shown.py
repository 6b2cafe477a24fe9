"""This module shows the results of an experiment to people: rows for a terminal, Markdown, and how to read them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cj_pipeline.eng5.alignment.result import Measure
from cj_pipeline.eng5.artefact.files import replace_file
from cj_pipeline.eng5.experiments.measures import CellMeasures
from cj_pipeline.eng5.experiments.paired import CORRECTION, MEASURED, Difference, Pairing
from cj_pipeline.eng5.experiments.table import Results, as_csv, as_document, ratio
from cj_pipeline.eng5.options import JudgeKind
from cj_pipeline.foundation.text import markdown_text

RESULTS = "results"


def write_results(results: Results) -> tuple[Path, ...]:
    """Write the table as CSV, Markdown and JSON into the experiment's folder, and return the files."""
    folder = results.experiment.folder
    text = {
        "csv": as_csv(results),
        "md": as_markdown(results),
        "json": json.dumps(as_document(results), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }
    return tuple(replace_file(folder / f"{RESULTS}.{ending}", content) for ending, content in text.items())


def as_markdown(results: Results) -> str:
    """Return the table as Markdown, with how it is to be read."""
    experiment = results.experiment
    lines = [f"# Experiment {experiment.grid.name}", ""]
    if experiment.grid.about:
        lines += [markdown_text(experiment.grid.about), ""]
    lines += [*notes_of(results), ""]
    lines += ["## Cells", "", *_markdown_table(CELL_COLUMNS, shown_cells(results)), ""]
    lines += ["## What the asking took", "", *_markdown_table(ASKING_COLUMNS, shown_asking(results))]
    if results.table is not None:
        lines += ["", f"## Against the base, {markdown_text(experiment.base.label)}", ""]
        lines += _markdown_table(DIFFERENCE_COLUMNS, shown_differences(results))
    return "\n".join(lines) + "\n"


CELL_COLUMNS = ("cell", "answered", "tau-a", "better wins", "first wins")
ASKING_COLUMNS = ("cell", "errors", "tokens", "seconds", "USD", "sent as", "waited, s")
TERMINAL_COLUMNS = ("measure", "base", "cell", "by", "95 %", "p", "finding")
DIFFERENCE_COLUMNS = ("cell", "measure", "base", "this cell", *TERMINAL_COLUMNS[3:])


def shown_cells(results: Results) -> list[tuple[object, ...]]:
    """Return a row of CELL_COLUMNS for each cell, as people read it."""
    return [_shown_cell(one) for one in results.measured]


def shown_asking(results: Results) -> list[tuple[object, ...]]:
    """Return a row of ASKING_COLUMNS for each cell: means of answers, cost of the cell, counters of the LPS."""
    return [_shown_asking(one) for one in results.measured]


def shown_differences(results: Results) -> list[tuple[object, ...]]:
    """Return a row of DIFFERENCE_COLUMNS for each measure of each cell."""
    pairings = () if results.table is None else results.table.pairings
    return [(pairing.cell.cell.label, *row) for pairing in pairings for row in terminal_differences(pairing)]


def terminal_differences(pairing: Pairing) -> list[tuple[object, ...]]:
    """Return a row of TERMINAL_COLUMNS for each measure of one cell; of one that is off, why."""
    found = {one.measure: one for one in pairing.differences}
    return [
        _shown_difference(found[name])
        if name in found
        else (MEASURED[name], "", "", "", "", "", pairing.missing.get(name, ""))
        for name in MEASURED
    ]


def _shown_difference(one: Difference) -> tuple[object, ...]:
    return (
        MEASURED[one.measure],
        _number(one.base),
        _number(one.value),
        _number(one.difference, signed=True),
        f"{_number(one.low)} to {_number(one.high)}",
        "-" if one.p_adjusted is None else f"{one.p_adjusted:.2g}",
        one.finding.value,
    )


def notes_of(results: Results) -> list[str]:
    """Return how the table is to be read, and what it lacks, a sentence each."""
    experiment, table = results.experiment, results.table
    notes = []
    if experiment.grid.judge is JudgeKind.MOCK:
        notes.append(
            "A mock answered: the table shows how it will look, and nothing about any judge. Nothing was spent."
        )
    if results.waiting:
        notes.append(f"Not asked yet: {', '.join(results.waiting)}.")
    partial = [one.cell.label for one in results.measured if not one.complete]
    if partial:
        notes.append(f"Asked in part: {', '.join(partial)}. The same command goes on.")
    if table is None:
        if results.measured:
            notes.append("There is no second cell to hold against the base.")
        return notes
    notes.append(
        f"Base: {experiment.base.label}. p: adjusted by {CORRECTION} over all {table.tests} tests of this table; noise "
        "is what the base's own judge would give if it were asked the same again."
    )
    notes.append(
        "different: p below .05, and not within the margin. equivalent: the 90 % interval lies within the margin of "
        "the profile judge (docs/checks.md). open: this experiment cannot tell."
    )
    if not table.decidable:
        notes.append(
            f"With {table.tests} tests no p-value can stay below .05, however large the difference: "
            "compare fewer cells at once."
        )
    if experiment.grid.judge is not JudgeKind.MOCK and any(one.spent_usd is None for one in results.measured):
        notes.append("The price of a cell is not known, so its cost is not.")
    return notes


def _shown_cell(one: CellMeasures) -> tuple[object, ...]:
    return (
        one.cell.label,
        f"{one.portrait.answered.count} of {one.portrait.asked}",
        _tau(one.tau_a),
        one.better_grade.in_words(),
        one.first_shown.in_words(),
    )


def _shown_asking(one: CellMeasures) -> tuple[object, ...]:
    portrait, counters = one.portrait, one.counters
    tokens = [spread for spread in (portrait.prompt_tokens, portrait.completion_tokens) if spread is not None]
    cost = "nothing" if one.free else "unknown" if portrait.cost_usd is None else f"{portrait.cost_usd:.4f}"
    waited = ratio(counters, "waited_s", "waits")
    return (
        one.cell.label,
        one.error_rate.in_words(),
        ", ".join(f"{spread.mean:.0f}" for spread in tokens) or "-",
        "-" if portrait.latency_s is None else f"{portrait.latency_s.mean:.2f}",
        cost,
        _sent(counters),
        "-" if waited is None else f"{waited:.2f}",
    )


def _sent(counters: Mapping[str, float]) -> str:
    each = ratio(counters, "bundled_comparisons", "bundles")
    if each is not None:
        return f"{counters['bundles']:.0f} of {each:.1f}"
    return f"{counters['jobs']:.0f} jobs" if counters.get("jobs") else "one by one"


def _tau(found: Measure | None) -> str:
    if found is None:
        return "-"
    around = found.interval
    return f"{found.value:.2f}" + ("" if around is None else f" ({around.low:.2f} to {around.high:.2f})")


def _number(value: float, *, signed: bool = False) -> str:
    if not math.isfinite(value):
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:{'+' if signed else ''}.{digits}f}"


def _markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    return [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(markdown_text(value) for value in row) + " |" for row in rows),
    ]
