"""This module defines `cj-pipeline eng5 experiment` and `eng5 compare`: configurations of a judge, side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cj_pipeline.cli.output import csv_option, json_option
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.exit_codes import CANNOT_TELL

EXIT_CODES = f"""

    Exits with 0 when every cell has asked all of its comparisons, {CANNOT_TELL} when it was stopped, the money was
    spent or a judge was away, 2 when something cannot be used. docs/experiments.md says more.
    """

_JUDGES = ("mock", "local", "provider")
_FOLDER = click.Path(path_type=Path, file_okay=False)

# Of a grid; each takes several values.
_AXES: tuple[tuple[str, str], ...] = (
    ("provider", "Whose API is asked."),
    ("model", "Models, as the provider calls them."),
    ("temperature", "0 to 2."),
    ("max-tokens", "That an answer may have."),
    ("effort", "Of models that reason: none, low, medium, high."),
    ("verbosity", "Of models that take it: low, medium, high."),
    ("prompt", "Numbers (003, 007+006), variants (plain), or files."),
    ("batching", "per_request, serial_bundle, provider_batch_api."),
    ("mock-mode", "Of judge mock."),
    ("repeat", "Numbers: the same, asked again."),
)

_COMMON: tuple[Callable[[Any], Any], ...] = (
    click.option("--judge", type=click.Choice(_JUDGES), help="The mock, the small model on this machine, or a "
                 "provider, which costs money.  [default: mock]"),
    click.option("--net", type=click.Path(file_okay=False, resolve_path=True),
                 help="Folder with anchors/.  [default: the twelve anchors of this project]"),
    click.option("--comparisons", type=int, metavar="N", help="Of each cell.  [default: every pair once]"),
    click.option("--both-orders", is_flag=True, default=None, help="Every pair once more, the other essay first."),
    click.option("--seed", type=int, help="Of pairs, sides and the mock.  [default: 42]"),
    click.option("--concurrency", type=int, help="Calls at the same time.  [default: 1]"),
    click.option("--base-url", help="Of judge provider: an OpenAI-compatible server."),
    click.option("--max-usd", "--budget-usd", "max_usd", type=float, help="Spend no more, for all cells together."),
    click.option("--price-per-million", type=(float, float), metavar="IN OUT", default=None,
                 help="US dollars, of models whose price the manifest does not know."),
    click.option("--dry-run", is_flag=True, help="Show cells, price and time, and stop."),
    click.option("--yes", is_flag=True, help="Do not ask before money is spent without a limit."),
    click.option("--restart", is_flag=True, help="Forget what these cells were answered, and what they paid."),
    click.option("--output-dir", type=_FOLDER,
                 help="Gets a folder for each experiment.  [default: eng5/experiments/ in the data folder]"),
)  # fmt: skip


def _common(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_COMMON):
        function = option(function)
    return function


def _axes(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, about in reversed(_AXES):
        function = click.option(f"--{name}", metavar="A,B,...", help=about)(function)
    return function


@click.command(epilog=EXIT_CODES)
@click.argument("grid", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", help="Of the experiment and its folder.  [default: the grid's; experiment]")
@_axes
@click.option("--base", metavar="KEY=VALUE,...", help="The cell that others are held against.  [default: the first]")
@_common
@json_option
@csv_option
def experiment(grid: Path | None, as_json: bool, as_csv: bool, **given: Any) -> None:
    """Ask every combination of some configurations the same pairs of anchors, and compare each with a base.

    GRID is a YAML file; without it the options name the values. The same command goes on where it was interrupted.

    \b
    cj-pipeline eng5 experiment --effort none,low --prompt 003,006
    cj-pipeline eng5 experiment grid.yaml --dry-run
    cj-pipeline eng5 experiment grid.yaml --judge provider --max-usd 5
    """
    from cj_pipeline.cli.eng5_experiment_run import Wanted, run_experiment
    from cj_pipeline.eng5.experiments.grid import AXES, grid_of_options, read_grid

    wanted = Wanted.of(given, as_json=as_json, as_csv=as_csv)
    axes = {name: given[name].split(",") for name in AXES if given[name] is not None}
    given = {name: value for name, value in given.items() if name not in AXES}
    base = None if given["base"] is None else _choices(given["base"], "--base")
    if grid is None:
        if not axes:
            raise click.UsageError("Give a GRID, or values such as --effort none,low.")
        source = grid_of_options(
            "eng5 experiment", {**given, "name": given["name"] or "experiment", "axes": axes, "base": base}
        )
    else:
        if axes:
            option = next(iter(axes)).replace("_", "-")
            raise click.UsageError(f"--{option} goes without GRID, which has axes of its own.")
        source = read_grid(grid).changed({**given, "base": base})
    run_experiment(source, wanted)


@click.command(epilog=EXIT_CODES)
@click.argument("a")
@click.argument("b")
@click.option("--name", default="compare", show_default=True, help="Of the experiment and its folder.")
@_common
@json_option
@csv_option
def compare(a: str, b: str, as_json: bool, as_csv: bool, **given: Any) -> None:
    """Ask two configurations, A and B, the same pairs of anchors, and hold B against A.

    A and B are KEY=VALUE,... with the keys of a grid: provider, model, temperature, max_tokens, effort, verbosity,
    prompt, batching, mock_mode, repeat.

    \b
    cj-pipeline eng5 compare prompt=003,effort=none prompt=006,effort=low
    cj-pipeline eng5 compare batching=per_request batching=serial_bundle
    """
    from cj_pipeline.cli.eng5_experiment_run import Wanted, run_experiment
    from cj_pipeline.eng5.experiments.grid import grid_of_options

    wanted = Wanted.of(given, as_json=as_json, as_csv=as_csv)
    cells = [_choices(a, "A"), _choices(b, "B")]
    run_experiment(grid_of_options("eng5 compare", {**given, "cells": cells}), wanted)


def _choices(text: str, option: str) -> dict[str, str]:
    """Return the keys and values of one configuration. Raises BadInput naming the option."""
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise BadInput(f"'{part}' is no KEY=VALUE.", path="eng5", field=option, remedy="For example: effort=low.")
        if name in found:
            raise BadInput(f"'{name}' is given twice.", path="eng5", field=option)
        found[name.replace("-", "_")] = value
    return found
