"""`cj-pipeline bt fit` and `align`: scores from outcomes, and how they agree with known grades."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from cj_pipeline.bt.fit import Estimator, fit
from cj_pipeline.cli.outcomes import read_outcomes
from cj_pipeline.cli.output import json_option, print_json, print_table
from cj_pipeline.cli.sources import find_source
from cj_pipeline.eng5.alignment_report import alignment_markdown, anchor_row
from cj_pipeline.eng5.grades import read_grades
from cj_pipeline.parity.alignment import align as align_fit
from cj_pipeline.runs.record import Side
from cj_pipeline.traces.grade_file import GRADE_ORDER


@click.group()
def bt() -> None:
    """Bradley-Terry fits."""


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
def fit_file(file: Path, estimator: Estimator, as_json: bool) -> None:
    """Fit FILE: csv, jsonl or parquet with columns winner, loser and optionally count."""
    items, comparisons = read_outcomes(file)
    fitted = fit(comparisons, estimator=estimator)
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
        print_json({"estimator": fitted.estimator, "kappa": fitted.kappa, "items": rows, "warnings": fitted.warnings})
        return
    print_table(
        f"{estimator} fit of {fitted.n_comparisons:g} comparisons",
        ("rank", "item", "theta (logits)", "SE (logits)", "wins", "losses"),
        [list(row.values()) for row in rows],
    )
    for warning in fitted.warnings:
        click.echo(warning)


@click.command()
@click.argument("callbacks")
@click.option("--grades", "grades_file", type=click.Path(path_type=Path), help="CSV with an id and a grade per essay.")
@json_option
def align(callbacks: str, grades_file: Path | None, as_json: bool) -> None:
    """Hold the order of CALLBACKS against known grades: tau, inversions, anchors without a win.

    CALLBACKS: a scenario id, a trace folder, or a JSONL file. Without --grades, the scenario's own.
    """
    found = find_source(callbacks)
    record = found.replayed(Side.RECORDED)
    labels = {item.id: item.label for item in found.scenario.net.items}
    if grades_file is None:
        grades = {item.id: item.grade for item in found.scenario.net.items if item.grade is not None}
    else:
        grades = read_grades(grades_file, found.scenario.net.items)
    if not grades:
        raise click.UsageError("No essay has a grade; give --grades FILE.")
    aligned = align_fit(record.document.fit, record.callbacks, grades, found.scenario.net.grade_scale or GRADE_ORDER)
    if as_json:
        print_json(
            {
                "tau_a": aligned.tau_a,
                "inversions": [
                    {"higher": labels[pair.higher], "lower": labels[pair.lower]} for pair in aligned.inversions
                ],
                "zero_win": [labels[essay] for essay in aligned.zero_win],
                "anchors": [anchor_row(anchor, labels) for anchor in aligned.anchors],
            }
        )
    else:
        click.echo(alignment_markdown(f"Anchor alignment of {found.scenario.title}", aligned, labels), nl=False)
