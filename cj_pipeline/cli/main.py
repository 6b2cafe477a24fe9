"""`cj-pipeline`: the terminal's way to everything the platform does.

Here: the command group, exit codes, and turning errors into sentences. Not here: any command (one module a subject).

Exit codes: 0 passed, 1 parity failed, 2 bad input or usage, 3 inconclusive (only with --strict) or a partial trace.
"""

from __future__ import annotations

import logging
import sys

import click
from rich.console import Console
from rich.markup import escape

from cj_pipeline.cli.on_demand import CommandsOnDemand
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.errors import CjPipelineError

COMMANDS = {
    "traces": "cj_pipeline.cli.traces:traces",
    "replay": "cj_pipeline.cli.runs:replay",
    "live": "cj_pipeline.cli.runs:live",
    "parity": "cj_pipeline.cli.runs:parity",
    "materialize": "cj_pipeline.cli.warehouse:materialize",
    "sql": "cj_pipeline.cli.warehouse:sql",
    "bt": "cj_pipeline.cli.bt:bt",
    "align": "cj_pipeline.cli.bt:align",
    "lps": "cj_pipeline.cli.lps:lps",
    "cj": "cj_pipeline.cli.cj:cj",
    "kafka": "cj_pipeline.cli.kafka:kafka",
    "stack": "cj_pipeline.cli.stack:stack",
    "doctor": "cj_pipeline.cli.doctor:doctor",
}


@click.group(
    cls=CommandsOnDemand,
    places=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="cj-pipeline")
def cli() -> None:
    """Does the mock LLM judge still behave like the real one?

    Exit codes: 0 passed, 1 parity failed, 2 bad input or usage, 3 inconclusive (only with --strict) or a partial trace.
    """


def main() -> None:
    """Run the CLI. What a user can mend is printed as a sentence, without a traceback."""
    # What an embedded service logs of single comparisons is in its callbacks; a served one sets up logs of its own.
    logging.getLogger("cj_pipeline").addHandler(logging.NullHandler())
    try:
        cli()
    except CjPipelineError as error:
        Console(stderr=True, highlight=False).print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(exit_codes.BAD_INPUT)
