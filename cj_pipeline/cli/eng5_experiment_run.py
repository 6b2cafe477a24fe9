"""This module runs an experiment at the terminal: what it will cost, consent, progress, and its table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import click

from cj_pipeline.cli.eng5_run import shown_progress
from cj_pipeline.cli.output import print_json, print_table, say, say_wrapped
from cj_pipeline.cli.record_progress import duration, stop_signals
from cj_pipeline.eng5.asking import OnProgress
from cj_pipeline.eng5.experiments.experiment import Experiment, experiment_of, experiments_folder
from cj_pipeline.eng5.experiments.grid import GridSource
from cj_pipeline.eng5.experiments.plan import CellPlan, LocalModel, plan_of, require_keys
from cj_pipeline.eng5.experiments.run import CellOutcome, ask_cells
from cj_pipeline.eng5.experiments.shown import (
    ASKING_COLUMNS,
    CELL_COLUMNS,
    TERMINAL_COLUMNS,
    notes_of,
    shown_asking,
    shown_cells,
    terminal_differences,
    write_results,
)
from cj_pipeline.eng5.experiments.table import Results, as_csv, as_document, results_of
from cj_pipeline.eng5.options import JudgeKind
from cj_pipeline.eng5.runner import Note
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.settings import PipelineSettings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the terminal is asked for beside the grid."""

    dry_run: bool
    yes: bool
    restart: bool
    output_dir: Path
    as_json: bool
    as_csv: bool

    @classmethod
    def of(cls, given: dict[str, Any], *, as_json: bool, as_csv: bool) -> Self:
        """Take these options out of those that click gave."""
        folder = given.pop("output_dir") or experiments_folder(PipelineSettings().data_dir)
        return cls(given.pop("dry_run"), given.pop("yes"), given.pop("restart"), folder, as_json, as_csv)


def run_experiment(source: GridSource, wanted: Wanted) -> None:
    """Plan, ask and compare the cells of a grid, and exit."""
    experiment = experiment_of(source, wanted.output_dir)
    if wanted.restart and not wanted.dry_run:
        experiment.forget()
    with ExitStack() as stack:
        local = _local(experiment, stack, dry_run=wanted.dry_run)
        plans = plan_of(experiment, local=local)
        _show_plan(experiment, plans, err=wanted.as_json or wanted.as_csv)
        if wanted.dry_run:
            for variable in sorted({plan.judge.missing_key for plan in plans if plan.left} - {""}):
                say(f"warning: no key is set: export {variable}=...", err=True)
            if wanted.as_json:
                print_json(_plan_document(experiment, plans))
            return
        require_keys(plans)
        if any(plan.left for plan in plans):
            _require_consent(experiment, plans, wanted.yes)
        stop = stack.enter_context(stop_signals())
        outcomes = ask_cells(
            experiment,
            plans,
            on_cell=lambda plan: _shown_cell(plan, stack),
            note=_noting(),
            stop=stop,
            local=local,
        )
    results = results_of(experiment)
    files = write_results(results)
    if wanted.as_json:
        print_json(as_document(results) | {"files": [str(path) for path in files]})
    elif wanted.as_csv:
        click.echo(as_csv(results), nl=False)
    else:
        _show_results(results, outcomes, files)
    sys.exit(exit_codes.PASSED if results.complete else exit_codes.CANNOT_TELL)


def _noting() -> Note:
    """Return what shows a sentence the first time: most are of the net, or of all cells."""
    shown: set[str] = set()

    def note(sentence: str) -> None:
        if sentence not in shown:
            shown.add(sentence)
            say_wrapped(f"note: {sentence}", err=True)

    return note


def _local(experiment: Experiment, stack: ExitStack, *, dry_run: bool) -> LocalModel | None:
    """Start the model on this machine where it is asked."""
    if experiment.grid.judge is not JudgeKind.LOCAL:
        return None
    from cj_pipeline.local.small_judge import small_judge, small_model

    return LocalModel("http://127.0.0.1/v1" if dry_run else stack.enter_context(small_judge()), small_model)


def _shown_cell(plan: CellPlan, stack: ExitStack) -> OnProgress:
    say(f"asking {plan.cell.label}: {plan.left} comparisons", err=True)
    return stack.enter_context(shown_progress())


def _require_consent(experiment: Experiment, plans: Sequence[CellPlan], yes: bool) -> None:
    grid = experiment.grid
    if grid.judge is not JudgeKind.PROVIDER or grid.max_usd is not None or yes:
        return
    if all(plan.most_usd == 0.0 for plan in plans):
        return
    if not sys.stdin.isatty():
        raise click.UsageError("This may cost money: give --max-usd, or --yes to spend without a limit.")
    click.confirm("Ask a provider without a spend limit?", abort=True, err=True)


def _show_plan(experiment: Experiment, plans: Sequence[CellPlan], *, err: bool) -> None:
    rows = [
        (
            number,
            plan.cell.label + (" (base)" if plan.cell == experiment.base else ""),
            plan.wanted,
            "all" if plan.finished else plan.answered,
            "unknown" if plan.usd is None or plan.most_usd is None else f"{plan.usd:.3f} to {plan.most_usd:.3f}",
            duration(plan.seconds) if plan.left else "-",
        )
        for number, plan in enumerate(plans, start=1)
    ]
    left = sum(plan.left for plan in plans)
    title = f"{experiment.grid.name}: {len(plans)} cells, {left} comparisons to be asked"
    if err:
        say(title, err=True)
    else:
        print_table(title, ("", "cell", "to ask", "answered", "USD", "about"), rows)
    for sentence in _price_notes(experiment, plans):
        say_wrapped(sentence, err=err)
    if left_behind := experiment.left_behind():
        say_wrapped(f"In the folder, and not in this grid: {', '.join(left_behind)}.", err=err)


def _price_notes(experiment: Experiment, plans: Sequence[CellPlan]) -> list[str]:
    known = [(plan.usd, plan.most_usd) for plan in plans if plan.usd is not None and plan.most_usd is not None]
    typical, most = sum(usd for usd, _ in known), sum(most for _, most in known)
    unknown = len(plans) - len(known)
    missing = f" The price of {unknown} cells is unknown: --price-per-million states it." if unknown else ""
    price = f"about {typical:.3f} USD, {most:.3f} with the longest answers" if known else "nobody knows how much"
    if experiment.grid.judge is JudgeKind.MOCK:
        asked = "Asked of the providers, the rest would cost"
        return [f"A mock answers, in simulated time, and nothing is spent. {asked} {price}.{missing}"]
    if experiment.grid.judge is JudgeKind.LOCAL:
        return ["The model runs on this machine, and nothing is spent."]
    limit = experiment.grid.max_usd
    spent = experiment.ledger.total() if any(plan.answered for plan in plans) else 0.0
    return [
        f"The rest costs {price}.{missing}",
        *([f"At most {limit:g} USD are spent, of which {spent:.4f} are gone."] if limit is not None else []),
    ]


def _plan_document(experiment: Experiment, plans: Sequence[CellPlan]) -> dict[str, Any]:
    return {
        "experiment": experiment.grid.name,
        "judge": experiment.grid.judge.value,
        "folder": str(experiment.folder),
        "base": experiment.base.name,
        "max_usd": experiment.grid.max_usd,
        "cells": [
            {
                "cell": plan.cell.name,
                "label": plan.cell.label,
                "choices": plan.cell.configuration.choices,
                "comparisons": plan.wanted,
                "answered": plan.answered,
                "usd_of_the_rest": plan.usd,
                "most_usd_of_the_rest": plan.most_usd,
                "seconds_of_the_rest": plan.seconds,
            }
            for plan in plans
        ],
    }


def _show_results(results: Results, outcomes: Sequence[CellOutcome], files: Sequence[Path]) -> None:
    click.echo()
    # By number: the labels of a large grid leave no room.
    number = {cell.label: place for place, cell in enumerate(results.experiment.cells, start=1)}
    for title, columns, rows in (
        (f"{results.experiment.grid.name}: what each cell is like", CELL_COLUMNS, shown_cells(results)),
        ("What the asking took", ASKING_COLUMNS, shown_asking(results)),
    ):
        print_table(title, columns, [(number[str(label)], *values) for label, *values in rows])
    for pairing in () if results.table is None else results.table.pairings:
        title = f"{pairing.cell.cell.label}, against {results.experiment.base.label}"
        print_table(title, TERMINAL_COLUMNS, terminal_differences(pairing))
    for note in notes_of(results):
        say_wrapped(note)
    for outcome in outcomes:
        if outcome.unfinished is not None:
            say_wrapped(f"{outcome.cell.label} is unfinished: {outcome.unfinished}.", err=True)
    for path in files:
        say(path)
