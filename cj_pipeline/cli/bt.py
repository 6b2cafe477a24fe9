"""This module defines `cj-pipeline bt fit` and `align`: scores from outcomes, and their agreement with grades."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np

from cj_pipeline.bt.fit import Estimator, fit, fit_warnings
from cj_pipeline.bt.separation import Separation
from cj_pipeline.cli.converge import converge_command
from cj_pipeline.cli.outcomes import read_outcomes
from cj_pipeline.cli.output import csv_option, json_option, print_csv, print_json, print_table, say, say_wrapped
from cj_pipeline.cli.sources import find_source
from cj_pipeline.eng5.alignment_report import alignment_markdown, anchor_row, targets
from cj_pipeline.eng5.grades import read_grades
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.parity.alignment import align as align_fit
from cj_pipeline.runs.record import Side
from cj_pipeline.traces.grade_file import GRADE_ORDER


@click.group()
def bt() -> None:
    """Bradley-Terry fits."""


bt.add_command(converge_command)


@bt.command("fit")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--estimator",
    type=click.Choice(["production", "map", "mle"]),
    default="production",
    show_default=True,
    help="production: prior alpha x n; map: prior 0.1; mle: none.",
)
@json_option
@csv_option
def fit_file(file: Path, estimator: Estimator, as_json: bool, as_csv: bool) -> None:
    """Fit FILE: CSV, TSV, XLSX, JSONL or Parquet with the columns winner and loser, a row a comparison.

    Also count (or Freq, weight): how often, and result: win or draw, which is half a win for each. Columns that are
    not used are named on standard error.
    """
    items, comparisons = read_outcomes(file)
    try:
        fitted = fit(comparisons, estimator=estimator)
    except Separation as error:
        raise BadInput(
            f"the maximum-likelihood estimate does not exist: {error.cause(items)}.",
            path=file,
            remedy="Use --estimator map (or production), or compare these items further.",
        ) from None
    warnings = fit_warnings(fitted, items)
    order = np.lexsort((np.arange(len(items)), -fitted.theta))
    rows = [
        {
            "rank": rank,
            "item": items[item],
            "theta": float(fitted.theta[item]),
            "standard_error": float(fitted.standard_error[item]) if np.isfinite(fitted.standard_error[item]) else None,
            "wins": float(comparisons.wins[item]),
            "losses": float(comparisons.losses[item]),
        }
        for rank, item in enumerate(order.tolist(), start=1)
    ]
    if as_json:
        print_json({"estimator": fitted.estimator, "kappa": fitted.kappa, "items": rows, "warnings": warnings})
        return
    if as_csv:
        print_csv(list(rows[0]), [list(row.values()) for row in rows])
        return
    print_table(
        f"{estimator} fit of {fitted.n_comparisons:g} comparisons",
        ("rank", "item", "theta (logits)", "SE (logits)", "wins", "losses"),
        [list(row.values()) for row in rows],
    )
    for warning in warnings:
        say_wrapped(warning)


@click.command()
@click.argument("callbacks")
@click.option(
    "--grades",
    "grades_file",
    type=click.Path(path_type=Path),
    help="Table of essay_id and grade.",
)
@json_option
def align(callbacks: str, grades_file: Path | None, as_json: bool) -> None:
    """Compare the order of CALLBACKS with known grades: tau, inversions, anchors without a win.

    CALLBACKS: a scenario id, a trace folder, or a JSONL file. Without --grades, the scenario's own.

    Exits with 0 when all three targets are met, 1 when one is missed, 2 when something cannot be used.
    """
    found = find_source(callbacks)
    record = found.replayed(Side.RECORDED)
    labels = {item.id: item.label for item in found.scenario.net.items}
    scale = found.scenario.net.grade_scale or GRADE_ORDER
    if grades_file is None:
        grades = {item.id: item.grade for item in found.scenario.net.items if item.grade is not None}
    else:
        grades = read_grades(grades_file, found.scenario.net.items, scale)
    if not grades:
        raise click.UsageError("No essay has a grade; give --grades FILE.")
    aligned = align_fit(record.document.fit, record.callbacks, grades, scale)
    missed = [target.measure for target in targets(aligned) if not target.met]
    if as_json:
        print_json(
            {
                "targets_missed": missed,
                "tau_a": aligned.tau_a,
                "inversions": [
                    {"higher": labels[pair.higher], "lower": labels[pair.lower]} for pair in aligned.inversions
                ],
                "zero_win": [labels[essay] for essay in aligned.zero_win],
                "anchors": [anchor_row(anchor, labels) for anchor in aligned.anchors],
            }
        )
    else:
        say(alignment_markdown(f"Anchor alignment of {found.scenario.title}", aligned, labels).rstrip("\n"))
    sys.exit(exit_codes.CHECK_FAILED if missed else exit_codes.PASSED)
