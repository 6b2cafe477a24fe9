"""This module runs a mode of the ENG5 runner at the terminal: progress while it waits, a summary at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from cj_pipeline.cli.eng5_options import Services, options_of, services_of
from cj_pipeline.cli.eng5_summary import show_outcome
from cj_pipeline.cli.output import print_json, print_table, say, say_wrapped
from cj_pipeline.cli.record_progress import SECONDS_BETWEEN_LINES, duration, stop_signals
from cj_pipeline.foundation import exit_codes

if TYPE_CHECKING:
    from cj_pipeline.eng5.asking import OnProgress, Progress
    from cj_pipeline.eng5.deployed_run import DeployedServices
    from cj_pipeline.eng5.options import RunnerOptions
    from cj_pipeline.eng5.runner import RunOutcome

CAPACITY = 1
"""The reference's exit code for too few essays or anchors, and for a request that was not taken."""

DATABASE_VARIABLE = "CJ_ASSESSMENT_SERVICE_DATABASE_URL"

BATCHING_WARNING = (
    "--llm-batching-mode changes how comparisons are sent and what they cost. Ask the people who run the services "
    "before you send a hint to a shared stack."
)


def run_mode(mode: str, given: dict[str, Any], *, as_json: bool) -> None:
    """Run one mode with the options as click gave them, and exit."""
    from cj_pipeline.eng5.deployed_run import NothingToExtract, NotPublished
    from cj_pipeline.eng5.options import CapacityError

    restart = given.pop("restart")
    try:
        services, options = services_of(mode, given), options_of(mode, given)
        if options.batching_mode is not None:
            say_wrapped(BATCHING_WARNING, err=True)
        outcome = _embedded(options, restart) if services is None else _deployed(options, services, restart)
    except (CapacityError, NotPublished, NothingToExtract) as failed:
        click.secho("error: ", fg="red", bold=True, err=True, nl=False)
        say(failed, err=True)
        sys.exit(CAPACITY)
    show_outcome(outcome, deployed=services is not None, as_json=as_json)
    stopped = outcome.partial and outcome.answers is not None and not outcome.answers.timed_out
    sys.exit(exit_codes.CANNOT_TELL if stopped else outcome.exit_code)


def _embedded(options: RunnerOptions, restart: bool) -> RunOutcome:
    from cj_pipeline.eng5.options import JudgeKind
    from cj_pipeline.eng5.runner import run

    local = None
    with ExitStack() as stack:
        if options.judging.kind is JudgeKind.LOCAL and options.mode.asks:
            from cj_pipeline.local.small_judge import small_judge, small_model

            local = small_model(options.temperature, options.max_tokens)
            base_url = stack.enter_context(small_judge())
            options = replace(options, judging=replace(options.judging, base_url=base_url))
        if options.judging.kind is JudgeKind.PROVIDER and options.judging.budget_usd is None and options.mode.asks:
            _require_consent()
        stop = stack.enter_context(stop_signals())
        on_progress = stack.enter_context(shown_progress())
        return run(options, on_progress=on_progress, note=_note, stop=stop, restart=restart, local=local)


def look_first(given: dict[str, Any], *, as_json: bool) -> None:
    """Look whether a run of `execute` would have what it needs, and exit with 1 where something is missing."""
    from cj_pipeline.eng5.preflight import preflight
    from cj_pipeline.local.small_judge import missing

    services, options = services_of("execute", given), options_of("execute", given)
    looked = list(preflight(options, None if services is None else deployed_services(services), missing))
    if as_json:
        print_json([{"part": one.part, "found": one.found, "problem": one.problem} for one in looked])
    else:
        rows = [(one.part, "missing" if one.problem else "there", one.problem or one.found) for one in looked]
        print_table("Preflight", ("part", "state", "detail"), rows)
    sys.exit(exit_codes.CHECK_FAILED if any(one.problem for one in looked) else exit_codes.PASSED)


def deployed_services(services: Services) -> DeployedServices:
    """Return the clients of deployed services."""
    from cj_pipeline.bus.factory import create_bus
    from cj_pipeline.eng5.deployed_run import DeployedServices
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.services.cj.admin_client import CjAdmin, token_of_environment

    folder = PipelineSettings().data_dir / "callbacks"
    return DeployedServices(
        open_bus=lambda: create_bus(None, services.kafka, folder, client_id=services.client_id),
        content_url=services.content_url,
        admin=CjAdmin(services.cj_url, token_of_environment()),
        database_url=os.environ.get(DATABASE_VARIABLE),
    )


def _deployed(options: RunnerOptions, services: Services, restart: bool) -> RunOutcome:
    from cj_pipeline.eng5.deployed_run import run_deployed

    deployed = deployed_services(services)
    with stop_signals() as stop, shown_progress() as on_progress:
        return run_deployed(options, deployed, on_progress=on_progress, note=_note, stop=stop, restart=restart)


def _require_consent() -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("--judge provider costs money: give --budget-usd.")
    click.confirm("Ask a provider without a spend limit?", abort=True, err=True)


def _note(sentence: str) -> None:
    say_wrapped(f"note: {sentence}", err=True)


@contextmanager
def shown_progress() -> Iterator[OnProgress]:
    """Show each answer on standard error: in place on a terminal, as a line now and then elsewhere."""
    terminal, began, last, answers = sys.stderr.isatty(), monotonic(), monotonic(), 0

    def show(progress: Progress) -> None:
        nonlocal last, answers
        answers += 1
        line = f"{progress.answered} answered"
        if progress.wanted is not None:
            left_s = (progress.wanted - progress.answered) * (monotonic() - began) / answers
            spent = f", {progress.spent_usd:.4f} USD" if progress.spent_usd else ""
            line = f"{progress.answered} of {progress.wanted} answered{spent}, {duration(left_s)} left"
        if terminal:
            click.echo(f"\r\x1b[K{line}", err=True, nl=False)
        elif monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = monotonic()
            click.echo(line, err=True)

    yield show
    if terminal and answers:
        click.echo(err=True)
