"""This module defines `cj-pipeline sql`, which asks the warehouse and cannot change it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

import click

from cj_pipeline.cli.output import csv_option, json_option, print_csv, print_json, print_table, say
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.errors import CjPipelineError

_GRACE_S = 1.0


@click.command()
@click.argument("query", required=False, default="show tables")
@json_option
@csv_option
def sql(query: str, as_json: bool, as_csv: bool) -> None:
    """Ask the warehouse one SELECT (DuckDB, read-only); without a QUERY, list the tables.

    At most 100,000 rows, 1 GB of memory and 15 s.
    """
    from cj_pipeline.warehouse.data_root import data_root
    from cj_pipeline.warehouse.read_only import MOST_ROWS, ask
    from cj_pipeline.warehouse.store import Warehouse

    data = Warehouse(data_root())
    data.catalogue_here()  # before the clock runs: object storage has a limit of its own, and says what is wrong
    with _ended_when_late():
        answer = ask(data, query)
    if as_json:
        twice = [column for column in answer.columns if answer.columns.count(column) > 1]
        if twice:
            raise CjPipelineError(f"Two columns are called '{twice[0]}'; name one of them: ... AS other_name.")
        print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    elif as_csv:
        print_csv(answer.columns, answer.rows)
    else:
        rows = len(answer.rows)
        print_table("1 row" if rows == 1 else f"{rows} rows", answer.columns, answer.rows)
    for problem in answer.damaged:
        say(f"warning: not in the answer: {problem}", err=True)
    if answer.more:
        say(f"There are more rows than the {MOST_ROWS:,} shown; ask for less.", err=True)


@contextmanager
def _ended_when_late() -> Iterator[None]:
    """End this process when a query does not end by itself: DuckDB looks for an interrupt between two vectors of rows.

    `repeat('x', 1500000000)` is one value, and took 40 s in spite of it.
    """
    from cj_pipeline.warehouse.read_only import MOST_SECONDS

    def end() -> None:
        say(f"error: The query took more than {MOST_SECONDS:g} s; ask for less.", err=True)
        sys.stderr.flush()
        os._exit(exit_codes.BAD_INPUT)

    late = Timer(MOST_SECONDS + _GRACE_S, end)
    late.daemon = True
    late.start()
    try:
        yield
    finally:
        late.cancel()
