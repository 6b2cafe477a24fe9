"""This module prints what commands say: tables for people, JSON and CSV for machines, progress for a terminal.

Data is never markup: whatever holds some goes through `say` or `print_table`, which show control characters as escapes.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import click

from cj_pipeline.cli.text_table import table_lines, wrapped
from cj_pipeline.foundation.text import plain, plain_lines


def _one_format(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
    other = "as_csv" if parameter.name == "as_json" else "as_json"
    if value and context.params.get(other):
        raise click.UsageError("Give --json or --csv, not both.")
    return value


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_one_format, help="Print JSON instead of tables."
)
csv_option = click.option("--csv", "as_csv", is_flag=True, callback=_one_format, help="Print the table as CSV.")

# Where there is no terminal (a log, a pipe) and COLUMNS does not say otherwise.
WIDTH = 80

# What click's progress bar takes beside its label.
_BAR = 60

LINE_EVERY_S = 15.0

_COLOURS = {"pass": "green", "fail": "red", "PARITY": "green", "NO PARITY": "red", "CANNOT TELL": "yellow"}


def say(text: object, *, err: bool = False) -> None:
    """Print text that may hold data."""
    click.echo(plain_lines(text), err=err)


def say_wrapped(text: object, *, indent: str = "", err: bool = False) -> None:
    """Print a sentence in lines that fit the terminal; the lines after the first are indented."""
    first, *rest = wrapped(plain(text), width() - len(indent))
    for line in [first, *(piece for part in rest for piece in wrapped(indent + part, width()))]:
        click.echo(line, err=err)


def width() -> int:
    """Return how many columns there are to print in."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print one JSON document."""
    click.echo(json_text(document))


def json_text(document: Mapping[str, Any] | Sequence[Any]) -> str:
    """Return a JSON document; what is not a finite number is null, which every reader of JSON takes."""
    return json.dumps(_finite(document), indent=2, ensure_ascii=False, default=str, allow_nan=False)


def print_csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows as CSV, numbers in full."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print one table: as wide as the terminal, numbers set right, verdicts in their colours where it has any."""
    for line in wrapped(plain(title), width()):
        click.echo(click.style(line, bold=True))
    for line in table_lines(columns, rows, width(), _coloured):
        click.echo(line)
    click.echo()


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far a long run is, on standard error: a bar in a terminal, else a line every quarter of a minute."""
    if not sys.stderr.isatty():
        with _lines(plain(description), total) as tell:
            yield tell
        return
    label = plain(description)[: max(0, width() - _BAR)]
    with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
        yield bar.update


@contextmanager
def _lines(label: str, total: int) -> Iterator[Callable[[int], None]]:
    done, over = 0, Event()

    def tell() -> None:
        while not over.wait(LINE_EVERY_S):
            click.echo(f"{label}: {done} of {total}", err=True)

    def add(more: int) -> None:
        nonlocal done
        done += more

    teller = Thread(target=tell, daemon=True, name="progress")
    teller.start()
    try:
        yield add
    finally:
        over.set()
        teller.join()


def _coloured(cell: str) -> str:
    return click.style(cell, fg=_COLOURS[cell]) if cell in _COLOURS else cell


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def say_listening(url: str, host: str) -> None:
    """Print where a server listens, and whether others reach it there."""
    click.echo(f"listening on {url}")
    if host in {"0.0.0.0", "::"}:  # noqa: S104
        click.echo(f"Other machines reach it too: its host is {host}.")
