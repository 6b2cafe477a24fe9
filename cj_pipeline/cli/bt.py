"""This module defines `cj-pipeline bt fit` and `align`: scores from outcomes, and their agreement with grades."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.converge import converge_command
from cj_pipeline.cli.output import csv_option, json_option, print_csv, print_json, print_table, say, say_wrapped
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.errors import BadInput

if TYPE_CHECKING:
    from cj_pipeline.bt.fit import Estimator


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
    import numpy as np

    from cj_pipeline.bt.fit import fit, fit_warnings
    from cj_pipeline.bt.separation import Separation
    from cj_pipeline.cli.outcomes import read_outcomes

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

    Exits with 0 when every target is met, 1 when one is missed, 2 when something cannot be used.
    """
    from cj_pipeline.cli.sources import find_source
    from cj_pipeline.eng5.alignment.case import case_of_record
    from cj_pipeline.eng5.alignment.document import Side as ReportSide
    from cj_pipeline.eng5.alignment.document import report_of
    from cj_pipeline.eng5.alignment.markdown import markdown_of
    from cj_pipeline.eng5.alignment.result import evaluate
    from cj_pipeline.eng5.alignment.stored import result_document
    from cj_pipeline.eng5.alignment.targets import targets
    from cj_pipeline.eng5.grades import read_grades
    from cj_pipeline.runs.record import Side

    found = find_source(callbacks)
    case = case_of_record(found.scenario, found.replayed(Side.RECORDED))
    if grades_file is not None:
        case = replace(case, grades=read_grades(grades_file, found.scenario.net.items, case.scale))
    if not case.grades:
        raise click.UsageError("No essay has a grade; give --grades FILE.")
    result = evaluate(case)
    if as_json:
        print_json(result_document(case, result))
    else:
        say(markdown_of(report_of([ReportSide(case, result)], full=False)).rstrip("\n"))
    sys.exit(exit_codes.PASSED if all(target.met for target in targets(result)) else exit_codes.CHECK_FAILED)
