"""This module reads what the cells of an experiment answered, and makes its table for programs: CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cj_pipeline.eng5.boundary import Estimate
from cj_pipeline.eng5.experiments.experiment import Experiment
from cj_pipeline.eng5.experiments.grid import AXES
from cj_pipeline.eng5.experiments.measures import CellMeasures, measures_of
from cj_pipeline.eng5.experiments.paired import CORRECTION, MEASURED, Difference, Finding, PairedTable, paired
from cj_pipeline.eng5.options import JudgeKind


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
        "comparisons_per_bundle": ratio(one.counters, "bundled_comparisons", "bundles"),
        "jobs": one.counters.get("jobs"),
        "queue_wait_mean_s": ratio(one.counters, "waited_s", "waits"),
    }


def _estimate(name: str, found: Estimate) -> dict[str, object]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def ratio(counters: Mapping[str, float], part: str, whole: str) -> float | None:
    """Return a counter for each of another; None where that counted nothing."""
    return counters[part] / counters[whole] if counters.get(whole) else None


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
    """Return a value as JSON and Dagster take it: a number that is none is unknown, a finding is its word."""
    if isinstance(value, Finding):
        return value.value
    return None if isinstance(value, float) and not math.isfinite(value) else value
