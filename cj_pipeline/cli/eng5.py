"""This module defines `cj-pipeline eng5`: the ENG5 runner, its artefacts and its alignment reports."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cj_pipeline.cli.eng5_admin import register_anchors, verify_auth
from cj_pipeline.cli.eng5_diagnostics import batch_state, instructions, positions_command
from cj_pipeline.cli.eng5_experiment import compare, experiment
from cj_pipeline.cli.eng5_options import MODES, runner_options
from cj_pipeline.cli.eng5_prompts import prompts
from cj_pipeline.cli.eng5_report import report
from cj_pipeline.cli.output import json_option, print_json, say
from cj_pipeline.foundation import exit_codes

ABOUT = {
    "plan": "List the inputs and write them down.",
    "dry-run": "Write the artefact without a comparison.",
    "execute": "Have the students' essays judged beside the anchors.",
    "anchor-align-test": "Have the anchors judged, and hold their order against their grades.",
    "boundary-test": "Ask about anchors of neighbouring grades again and again, in both orders.",
}

EXIT_CODES = """

    Without Kafka everything runs in this process, on the mock (--judge asks somebody else). The same command goes on
    with a run that was killed, stopped or timed out; docs/eng5.md says more.

    Exits with 0, also after a time-out, which the artefact marks as partial; 1 where there are too few anchors or
    essays, or nothing to extract; 2 when something cannot be used; 3 when it was stopped or the money was spent.
    """


@click.group(invoke_without_command=True, no_args_is_help=True)
@click.option("--mode", type=click.Choice(MODES), help="What to do, as the reference names it.  [default: plan]")
@runner_options
@json_option
@click.pass_context
def eng5(context: click.Context, /, mode: str | None, as_json: bool, **given: Any) -> None:
    """The ENG5 runner: essays judged beside graded anchors.

    \b
    cj-pipeline eng5 anchor-align-test
    cj-pipeline eng5 execute --net autumn/ --judge provider --llm-model claude-haiku-4-5-20251001 --budget-usd 2
    cj-pipeline eng5 --mode dry-run --max-comparisons 50
    """
    if context.invoked_subcommand is None:
        from cj_pipeline.cli.eng5_run import run_mode

        run_mode(mode or "plan", given, as_json=as_json)
    elif stray := [name for name in (*given, "mode") if _was_given(context, name)]:
        raise click.UsageError(f"--{stray[0].replace('_', '-')} goes behind '{context.invoked_subcommand}'.")


def _was_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _command(mode: str) -> click.Command:
    @runner_options
    @json_option
    def command(as_json: bool, **given: Any) -> None:
        from cj_pipeline.cli.eng5_run import run_mode

        run_mode(mode, given, as_json=as_json)

    return click.command(mode, help=ABOUT[mode] + EXIT_CODES, short_help=ABOUT[mode])(command)


for _mode in MODES:
    eng5.add_command(_command(_mode))
eng5.add_command(report)
for _shown in (experiment, compare, instructions, batch_state, positions_command, prompts):
    eng5.add_command(_shown)
eng5.add_command(register_anchors)
eng5.add_command(verify_auth)


@eng5.command()
@runner_options
@json_option
def preflight(as_json: bool, **given: Any) -> None:
    """Look whether a run of execute would have what it needs: inputs, folder, judge or services, assignment.

    Exits with 0 when all is there, 1 when something is missing.
    """
    from cj_pipeline.cli.eng5_run import look_first

    look_first(given, as_json=as_json)


@eng5.command()
@click.argument("artefacts", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def verify(artefacts: tuple[Path, ...], as_json: bool) -> None:
    """Check ARTEFACTS again: schema, checksum, the files of the manifest, and whether the parts agree.

    Exits with 0 when all agree, 1 when something does not, 2 when a file is no artefact.
    """
    from cj_pipeline.eng5.artefact.verify import verify as verified

    found = [verified(path) for path in artefacts]
    if as_json:
        print_json(
            [{"path": str(one.path), "mode": one.mode, "partial": one.partial, "problems": list(one.problems)}
             for one in found]
        )  # fmt: skip
    else:
        for one in found:
            partial = ", partial data" if one.partial else ""
            word = "agrees" if not one.problems else "DOES NOT AGREE"
            say(f"{one.path}: {word} ({one.mode}, {one.comparisons} comparisons, {one.files} files{partial})")
            for problem in one.problems:
                say(f"    {problem}")
    sys.exit(exit_codes.CHECK_FAILED if any(one.problems for one in found) else exit_codes.PASSED)


@eng5.command()
def schema() -> None:
    """Print the JSON Schema (2020-12) of artefacts."""
    from cj_pipeline.eng5.artefact.files import schema as of_artefacts

    print_json(of_artefacts())
