"""This module shows how the verdicts and checks of published runs went over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from cj_pipeline.cli.output import print_csv, print_json, print_table, say, say_wrapped
from cj_pipeline.cli.scenario_names import scenario_folder
from cj_pipeline.cli.sources import trace_store
from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.parity.history.history import CheckHistory, ScenarioHistory, load_history
from cj_pipeline.parity.history.tables import (
    CHECK_COLUMNS,
    NIGHT_COLUMNS,
    SCENARIO_COLUMNS,
    check_rows,
    night_rows,
    scenario_row,
    sentences,
)
from cj_pipeline.warehouse.store import Warehouse

Rows = Sequence[Sequence[object]]


def show_history(scenario: str | None, check: str | None, as_json: bool, as_csv: bool) -> None:
    """Show one scenario, one of its checks, or all scenarios."""
    if check is not None and scenario is None:
        raise click.UsageError("--check needs a SCENARIO.")
    if scenario is None:
        _show_all(as_json, as_csv)
        return
    name = scenario_folder(scenario).absolute().name
    found = load_history(PipelineSettings().data_dir, name)
    if found is None:
        raise BadInput(f"no run of '{name}' is published.", path=PipelineSettings().data_dir, remedy=_REMEDY)
    columns: Sequence[str]
    if check is None:
        columns, rows, title = (
            CHECK_COLUMNS,
            check_rows(found),
            f"{name}: live minus recorded, runs {len(found.nights)}",
        )
    else:
        columns, rows, title = NIGHT_COLUMNS, night_rows(_named(found, check)), f"{name}: {check}"
    if as_json:
        print_json(
            {**_document(scenario_row(found)), "rows": _dicts(columns, rows), "sentences": sentences(found, check)}
        )
    elif as_csv:
        print_csv(columns, rows)
    else:
        shown = [row for row in rows if check is not None or row[columns.index("last")] is not None]
        print_table(title, *_narrow(columns, shown))
        if exact := len(rows) - len(shown):
            say_wrapped(f"{exact} checks compare values exactly and have no trend; --json lists them.")
        for sentence in sentences(found, check):
            say_wrapped(sentence)


def write_history_pages(target: Path, scenario: str | None) -> None:
    """Write pages of what is published, of one scenario or of all, and say where they are."""
    from cj_pipeline.cli.pages import write_published_pages  # here: most commands write no page

    names = trace_store().scenario_ids() if scenario is None else [scenario_folder(scenario).absolute().name]
    index = write_published_pages(target, Warehouse(PipelineSettings().data_dir), names)
    say(f"The page over all scenarios is {index}.", err=True)


_IN_TERMINAL = {
    *("scenario", "runs", "verdict", "red_since", "changes"),
    *("check", "last", "mean", "unit", "time", "difference", "tolerance", "seed"),
}
"""Columns that fit 80 characters; --json and --csv have all."""

_REMEDY = "Run `make parity`, or materialise the scenario."


def _show_all(as_json: bool, as_csv: bool) -> None:
    data = Warehouse(PipelineSettings().data_dir)
    names = [pointer.scenario_id for pointer in data.published(trace_store().scenario_ids())]
    found = [one for name in names if (one := load_history(data.root, name)) is not None]
    rows = [scenario_row(one) for one in found]
    if as_json:
        print_json([{**_document(row), "sentences": sentences(one)} for row, one in zip(rows, found, strict=True)])
    elif as_csv:
        print_csv(SCENARIO_COLUMNS, rows)
    elif not rows and names:
        say(f"What is published in {data.root} is older than the history, which begins with the next run. {_REMEDY}")
    elif not rows:
        say(f"No run is published in {data.root}. {_REMEDY}")
    else:
        # Without the time of the newest run, since when a scenario is red fits beside an id of 36 characters.
        columns = [name for name in SCENARIO_COLUMNS if name != "last"]
        shown = [[value for name, value in zip(SCENARIO_COLUMNS, row, strict=True) if name != "last"] for row in rows]
        print_table("History", *_narrow(columns, shown))
        for one in found:
            for sentence in sentences(one):
                say_wrapped(f"{one.scenario_id}: {sentence}")


def _named(found: ScenarioHistory, name: str) -> CheckHistory:
    known = {check.check: check for check in found.checks}
    if name not in known:
        raise BadInput(
            f"no run of '{found.scenario_id}' has the check '{name}'.",
            path="cj-pipeline history",
            field="--check",
            remedy=did_you_mean(name, known),
        )
    return known[name]


def _document(row: Sequence[object]) -> dict[str, Any]:
    return dict(zip(SCENARIO_COLUMNS, row, strict=True))


def _dicts(columns: Sequence[str], rows: Rows) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _narrow(columns: Sequence[str], rows: Rows) -> tuple[list[str], list[list[object]]]:
    """Return the columns for a terminal, without those that are empty."""
    places = [
        place
        for place, name in enumerate(columns)
        if name in _IN_TERMINAL and any(row[place] is not None for row in rows)
    ]
    return [columns[place].replace("_", " ") for place in places], [
        [_cell(row[place]) for place in places] for row in rows
    ]


def _cell(value: object) -> object:
    return f"{value:%Y-%m-%d}" if isinstance(value, datetime) else value
