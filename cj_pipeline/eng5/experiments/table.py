"""This module makes the table of an experiment: a row for each cell, and each cell against the base."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cj_pipeline.eng5.alignment.result import Measure
from cj_pipeline.eng5.artefact.files import replace_file
from cj_pipeline.eng5.boundary import Estimate
from cj_pipeline.eng5.experiments.experiment import Experiment
from cj_pipeline.eng5.experiments.grid import AXES
from cj_pipeline.eng5.experiments.measures import CellMeasures, measures_of
from cj_pipeline.eng5.experiments.paired import CORRECTION, MEASURED, Difference, PairedTable, paired
from cj_pipeline.eng5.options import JudgeKind
from cj_pipeline.foundation.text import markdown_text

RESULTS = "results"


@dataclass(frozen=True, slots=True)
class Results:
    """What came of an experiment. measured: cells with answers, in the order of the grid; waiting: labels of the rest.

    table: None where the base has no answers, or there is no other cell.
    """

    experiment: Experiment
    measured: tuple[CellMeasures, ...]
    waiting: tuple[str, ...]
    table: PairedTable | None

    @property
    def complete(self) -> bool:
        """Whether every cell has asked all that it was to ask."""
        return not self.waiting and all(one.complete for one in self.measured)


def results_of(experiment: Experiment) -> Results:
    """Read and compare what the cells of an experiment have answered so far."""
    found = {cell.name: measures_of(experiment, cell) for cell in experiment.cells}
    measured = [one for one in found.values() if one is not None]
    base = found[experiment.base.name]
    others = [one for one in measured if one is not base]
    on_this_machine = experiment.grid.judge is JudgeKind.LOCAL
    table = paired(base, others, on_this_machine=on_this_machine) if base is not None and others else None
    waiting = tuple(cell.label for cell in experiment.cells if found[cell.name] is None)
    return Results(experiment, tuple(measured), waiting, table)


def write_results(results: Results) -> tuple[Path, ...]:
    """Write the table as CSV, Markdown and JSON into the experiment's folder, and return the files."""
    folder = results.experiment.folder
    text = {
        "csv": as_csv(results),
        "md": as_markdown(results),
        "json": json.dumps(as_document(results), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }
    return tuple(replace_file(folder / f"{RESULTS}.{ending}", content) for ending, content in text.items())


def cell_rows(results: Results) -> list[dict[str, object]]:
    """Return a flat row for each cell: choices, what it is like, and its differences from the base."""
    differences = _by_cell(results.table)
    return [
        {
            "cell": one.cell.name,
            "base": one.cell.name == results.experiment.base.name,
            **{axis: one.cell.configuration.choices.get(axis) for axis in AXES},
            **_own(one),
            **{
                f"{name}_{part}": _finite(getattr(found, part)) if (found := of_cell.get(name)) is not None else None
                for name in MEASURED
                for part in ("difference", "low", "high", "p", "p_adjusted", "finding")
            },
        }
        for one in results.measured
        for of_cell in (differences.get(one.cell.name, {}),)
    ]


def as_csv(results: Results) -> str:
    """Return the rows as CSV, numbers in full; an unknown value is empty."""
    rows = cell_rows(results)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["cell"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_document(results: Results) -> dict[str, Any]:
    """Return everything as one JSON document."""
    experiment, table = results.experiment, results.table
    return {
        "experiment": experiment.grid.name,
        "judge": experiment.grid.judge.value,
        "complete": results.complete,
        "waiting": list(results.waiting),
        "base": experiment.base.name,
        "spent_usd": None if experiment.grid.judge is JudgeKind.MOCK else experiment.ledger.total(),
        "correction": None if table is None else {"method": CORRECTION, "tests": table.tests},
        "cells": [
            {
                "cell": one.cell.name,
                "label": one.cell.label,
                "choices": one.cell.configuration.choices,
                **_own(one),
                "errors_by_reason": dict(one.portrait.errors),
                "counters": dict(one.counters),
            }
            for one in results.measured
        ],
        "against_the_base": [
            {
                "cell": pairing.cell.cell.name,
                "common_prompts": pairing.common,
                "missing": dict(pairing.missing),
                "differences": [_difference_document(one) for one in pairing.differences],
            }
            for pairing in (() if table is None else table.pairings)
        ],
    }


def as_markdown(results: Results) -> str:
    """Return the table as Markdown, with how it is to be read."""
    experiment = results.experiment
    lines = [f"# Experiment {experiment.grid.name}", ""]
    if experiment.grid.about:
        lines += [markdown_text(experiment.grid.about), ""]
    lines += [*notes_of(results), ""]
    lines += ["## Cells", "", *_markdown_table(CELL_COLUMNS, shown_cells(results))]
    if results.table is not None:
        lines += ["", f"## Against the base, {markdown_text(experiment.base.label)}", ""]
        lines += _markdown_table(DIFFERENCE_COLUMNS, shown_differences(results))
    return "\n".join(lines) + "\n"


CELL_COLUMNS = ("cell", "answered", "errors", "tau-a", "better wins", "first wins", "tokens in/out", "s", "USD")
DIFFERENCE_COLUMNS = ("cell", "measure", "base", "cell's", "difference", "95 %", "p", "finding")


def shown_cells(results: Results) -> list[tuple[object, ...]]:
    """Return a row of CELL_COLUMNS for each cell, as people read it."""
    return [_shown_cell(one, results.experiment) for one in results.measured]


def shown_differences(results: Results, *, only: str | None = None) -> list[tuple[object, ...]]:
    """Return a row of DIFFERENCE_COLUMNS for each measure of each cell. only: of the cell with this name."""
    pairings = () if results.table is None else results.table.pairings
    return [
        (
            pairing.cell.cell.label,
            MEASURED[one.measure],
            _number(one.base),
            _number(one.value),
            f"{_number(one.difference, signed=True)} {one.unit}",
            f"{_number(one.low)} to {_number(one.high)}",
            "-" if one.p_adjusted is None else f"{one.p_adjusted:.2g}",
            one.finding.value,
        )
        for pairing in pairings
        if only is None or pairing.cell.cell.name == only
        for one in pairing.differences
    ]


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


def _own(one: CellMeasures) -> dict[str, object]:
    portrait, tau = one.portrait, one.tau_a
    return {
        "complete": one.complete,
        "asked": portrait.asked,
        "answered": portrait.answered.count,
        **_estimate("error_rate", one.error_rate),
        "tau_a": None if tau is None else tau.value,
        "tau_a_low": None if tau is None or tau.interval is None else tau.interval.low,
        "tau_a_high": None if tau is None or tau.interval is None else tau.interval.high,
        "tau_b": None if one.tau_b is None else one.tau_b.value,
        "direct_inversions": one.inversions,
        **_estimate("better_grade_wins", one.better_grade),
        **_estimate("first_shown_wins", one.first_shown),
        "confidence_mean": one.confidence,
        "latency_mean_s": None if portrait.latency_s is None else portrait.latency_s.mean,
        "latency_p95_s": None if portrait.latency_s is None else portrait.latency_s.p95,
        "prompt_tokens_mean": None if portrait.prompt_tokens is None else portrait.prompt_tokens.mean,
        "completion_tokens_mean": None if portrait.completion_tokens is None else portrait.completion_tokens.mean,
        "cost_usd": None if one.case.mocked else portrait.cost_usd,
        "spent_usd_at_most": one.spent_usd,
        "asked_again": one.asked_again,
        "bundles": one.counters.get("bundles"),
        "comparisons_per_bundle": _ratio(one.counters, "bundled_comparisons", "bundles"),
        "jobs": one.counters.get("jobs"),
        "queue_wait_mean_s": _ratio(one.counters, "waited_s", "waits"),
    }


def _estimate(name: str, found: Estimate) -> dict[str, object]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _ratio(counters: Mapping[str, float], part: str, whole: str) -> float | None:
    return counters[part] / counters[whole] if counters.get(whole) else None


def _shown_cell(one: CellMeasures, experiment: Experiment) -> tuple[object, ...]:
    portrait = one.portrait
    base = " (base)" if one.cell.name == experiment.base.name else ""
    tokens = [spread for spread in (portrait.prompt_tokens, portrait.completion_tokens) if spread is not None]
    cost = "nothing" if one.case.mocked else "unknown" if portrait.cost_usd is None else f"{portrait.cost_usd:.4f}"
    return (
        f"{one.cell.label}{base}{'' if one.complete else ' (in part)'}",
        f"{portrait.answered.count} of {portrait.asked}",
        one.error_rate.in_words(),
        _tau(one.tau_a),
        one.better_grade.in_words(),
        one.first_shown.in_words(),
        " / ".join(f"{spread.mean:.0f}" for spread in tokens) or "-",
        "-" if portrait.latency_s is None else f"{portrait.latency_s.mean:.2f}",
        cost,
    )


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


def _by_cell(table: PairedTable | None) -> dict[str, dict[str, Difference]]:
    pairings = () if table is None else table.pairings
    return {pairing.cell.cell.name: {one.measure: one for one in pairing.differences} for pairing in pairings}


def _difference_document(one: Difference) -> dict[str, Any]:
    return {
        "measure": one.measure,
        "unit": one.unit,
        **{
            name: _finite(getattr(one, name))
            for name in ("base", "value", "difference", "low", "high", "p", "p_adjusted")
        },
        "finding": one.finding.value,
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    return [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(markdown_text(value) for value in row) + " |" for row in rows),
    ]
