"""This module turns every exception that a command lets through into a sentence and an exit code."""

from __future__ import annotations

import sys
import traceback

import click

from cj_pipeline.cli.output import say
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.disk import os_error_sentence
from cj_pipeline.foundation.errors import CjPipelineError

DEBUG_VARIABLE = "CJ_PIPELINE_DEBUG"


def report(error: BaseException, *, debug: bool) -> int:
    """Print what went wrong, on standard error, and return the exit code. debug: with the traceback."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        say("interrupted", err=True)
        return exit_codes.INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return exit_codes.BAD_INPUT
    sentence = _sentence(error)
    if sentence is not None:
        click.secho("error: ", fg="red", bold=True, err=True, nl=False)
        say(sentence, err=True)
        return exit_codes.BAD_INPUT
    place = traceback.extract_tb(error.__traceback__)[-1]
    say(f"internal error: {type(error).__name__}: {error} ({place.filename}:{place.lineno})", err=True)
    say(
        "This is a defect of cj-pipeline; please report it to its maintainers, with the traceback that "
        "`cj-pipeline --debug ...` prints.",
        err=True,
    )
    return exit_codes.INTERNAL_ERROR


def _sentence(error: BaseException) -> str | None:
    """Return what a user can mend, in words; None for a defect of ours."""
    if isinstance(error, CjPipelineError):
        return str(error)
    if isinstance(error, OSError):
        return os_error_sentence(error)
    if isinstance(error, UnicodeError):
        return f"text that cannot be read or written: {error}. Save files as UTF-8."
    # Whoever raised it has imported pydantic; `--help` does without.
    pydantic_core = sys.modules.get("pydantic_core")
    if pydantic_core is not None and isinstance(error, pydantic_core.ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "(top level)"
        return f"{error.title}: {place}: {first['msg']}."
    return None
