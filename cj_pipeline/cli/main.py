"""This module is the entry point of `cj-pipeline`: the command group, and the one place where errors end."""

from __future__ import annotations

import logging
import os
import sys
from io import TextIOWrapper
from typing import Any

import click

from cj_pipeline.cli.failures import DEBUG_VARIABLE, report
from cj_pipeline.cli.on_demand import CommandsOnDemand
from cj_pipeline.cli.output import say
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.linear_algebra import use_one_thread
from cj_pipeline.foundation.secret_files import read_secret_files

COMMANDS = {
    "traces": ("cj_pipeline.cli.traces:traces", "Capture, import, redact, list, validate, summarise traces."),
    "record": ("cj_pipeline.cli.record:record_command", "Record what a real judge says of your essays."),
    "replay": ("cj_pipeline.cli.runs:replay", "Run recorded answers through the engine."),
    "live": ("cj_pipeline.cli.runs:live", "Put the net of a scenario to the mock."),
    "calibrate": ("cj_pipeline.cli.calibrate:calibrate", "Fit a mode to a judge, and measure it on held-out answers."),
    "parity": ("cj_pipeline.cli.runs:parity", "Compare a recording with the mock, check by check."),
    "gauntlet": ("cj_pipeline.cli.gauntlet:gauntlet", "Say which wrong mocks a comparison would let past."),
    "materialize": ("cj_pipeline.cli.warehouse:materialize", "Fill the warehouse and print the parity table."),
    "nightly": ("cj_pipeline.cli.nightly:nightly", "Run every scenario once, and tell what is not as expected."),
    "alerts": ("cj_pipeline.cli.alerts:alerts", "Show messages about nights, and try where they go."),
    "history": ("cj_pipeline.cli.history:history", "Show how the verdicts and checks of scenarios went over time."),
    "tolerances": ("cj_pipeline.cli.tolerances:tolerances", "Propose the margins that a recording supports."),
    "warehouse": ("cj_pipeline.cli.warehouse:warehouse", "Bring the data folder up to date; remove old runs."),
    "sql": ("cj_pipeline.cli.sql:sql", "Ask the warehouse."),
    "bt": ("cj_pipeline.cli.bt:bt", "Fit Bradley-Terry scores to a table of outcomes."),
    "align": ("cj_pipeline.cli.bt:align", "Compare the order of a recording with known grades."),
    "eng5": ("cj_pipeline.cli.eng5:eng5", "Run ENG5: essays judged beside graded anchors, and alignment reports."),
    "extract": ("cj_pipeline.cli.extract:extract", "Show all that a CJ database holds of a batch, as text or JSON."),
    "lps": ("cj_pipeline.cli.lps:lps", "Serve the LLM Provider Service; show the modes of its mock."),
    "cj": ("cj_pipeline.cli.cj:cj", "Serve the CJ assessment service."),
    "kafka": ("cj_pipeline.cli.kafka:kafka", "Run a Kafka broker on this machine."),
    "stack": ("cj_pipeline.cli.stack:stack", "Run the whole stack on this machine, and a batch through it."),
    "ui": ("cj_pipeline.cli.ui:ui", "Run Dagster's UI and daemon on this machine."),
    "health": ("cj_pipeline.cli.health:health", "Say whether the parts of a deployment are ready for work."),
    "doctor": ("cj_pipeline.cli.doctor:doctor", "Show what is configured and whether it works."),
}

PROGRAM = "cj-pipeline"

COMPLETION = "_CJ_PIPELINE_COMPLETE"
"""What a shell sets when it asks how a line may go on."""

BROKEN_PIPE = 141
"""What a shell reports of a program that SIGPIPE ended: the reader (`head`) had seen enough."""


@click.group(
    cls=CommandsOnDemand,
    places=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="cj-pipeline")
@click.option("--debug", is_flag=True, envvar=DEBUG_VARIABLE, help=f"Print tracebacks of errors [{DEBUG_VARIABLE}].")
@click.pass_obj
def cli(settings: dict[str, Any], debug: bool) -> None:
    """Does the mock LLM judge still behave like the real one?

    Exit codes: 0 passed; 1 a check failed; 2 bad input or usage; 3 cannot tell, partial, or everything
    skipped; 70 internal error.
    """
    settings["debug"] = debug


class _ShownWarnings(logging.Handler):
    """Prints warnings of the tables' reader as commands print theirs, each once: a table may be read twice."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._shown:
            self._shown.add(message)
            say(f"warning: {message}", err=True)


def main() -> None:
    """Run the CLI; an error becomes a sentence and an exit code (failures.py)."""
    use_one_thread()
    # What an embedded service logs of single comparisons is in its callbacks; a served one sets up logs of its own.
    logging.getLogger("cj_pipeline").addHandler(logging.NullHandler())
    logging.getLogger("cj_pipeline.foundation.tables").handlers[:] = [_ShownWarnings()]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that has no such letter shows its code
            stream.reconfigure(errors="backslashreplace")
    settings: dict[str, Any] = {"debug": False}
    try:
        read_secret_files(os.environ)
        code = _run(settings)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:
        code = report(error, debug=settings["debug"])
    sys.exit(code)


def _run(settings: dict[str, Any]) -> int:
    """Run the command and return its exit code. Click's own way to do it makes a 1 of broken pipes and interrupts."""
    if COMPLETION in os.environ:
        cli.main()
    try:
        with cli.make_context(PROGRAM, sys.argv[1:], obj=settings) as context:
            cli.invoke(context)
    except click.exceptions.Exit as end:  # of --help and --version
        return end.exit_code
    return exit_codes.PASSED
