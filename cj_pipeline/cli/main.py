"""`cj-pipeline`: the terminal's way to everything the platform does.

Here: the command group, exit codes, and turning errors into sentences. Not here: any command (one module a subject).

Exit codes: 0 passed, 1 parity failed, 2 bad input or usage, 3 inconclusive (only with --strict).
"""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.markup import escape

from cj_pipeline.cli import bt, doctor, lps, runs, traces, warehouse
from cj_pipeline.errors import CjPipelineError

EXIT_BAD_INPUT = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="cj-pipeline")
def cli() -> None:
    """Does the mock LLM judge still behave like the real one?

    Exit codes: 0 passed, 1 parity failed, 2 bad input or usage, 3 inconclusive (only with --strict).
    """


cli.add_command(traces.traces)
cli.add_command(runs.replay)
cli.add_command(runs.live)
cli.add_command(runs.parity)
cli.add_command(warehouse.materialize)
cli.add_command(warehouse.sql)
cli.add_command(bt.bt)
cli.add_command(bt.align)
cli.add_command(lps.lps)
cli.add_command(doctor.doctor)


def main() -> None:
    """Run the CLI. What a user can mend is printed as a sentence, without a traceback."""
    try:
        cli()
    except CjPipelineError as error:
        Console(stderr=True, highlight=False).print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(EXIT_BAD_INPUT)
