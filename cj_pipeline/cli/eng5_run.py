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

# What tells afterwards, on a deployed stack, how the batch was worked off.
QUERIES = (
    'sum by (batching_mode) (increase(cj_llm_requests_total[1h]))',
    'sum by (batching_mode) (increase(cj_llm_batches_started_total[1h]))',
    'sum by (model) (increase(llm_provider_serial_bundle_calls_total[1h]))',
    'histogram_quantile(0.5, sum by (le) (increase(llm_provider_serial_bundle_items_per_call_bucket[1h])))',
    'sum by (result) (increase(llm_provider_queue_wait_time_seconds_count[1h]))',
    'sum by (queue_processing_mode) (increase(llm_provider_comparison_callbacks_total[1h]))',
)  # fmt: skip


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
        print_table("Preflight", ("part", "", ""), rows)
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


def show_outcome(outcome: RunOutcome, *, deployed: bool, as_json: bool) -> None:
    """Print what came of a run: comparisons, costs, events, files."""
    from cj_pipeline.eng5.artefact.files import read_document

    document = read_document(outcome.artefact)
    status = document["validation"].get("runner_status")
    inputs, costs = document["inputs"], document["costs"]
    if as_json:
        print_json(
            {
                "mode": document["metadata"]["runner_mode"],
                "artefact": str(outcome.artefact),
                "batch_uuid": document["metadata"]["batch_uuid"],
                "anchors": len(inputs["anchors"]),
                "students": len(inputs["students"]),
                "comparisons": len(document["llm_comparisons"]),
                "costs": costs,
                "runner_status": status,
                "reports": [str(path) for path in outcome.reports],
            }
        )
        return
    say(f"{document['metadata']['runner_mode']}: {len(inputs['anchors'])} anchors, {len(inputs['students'])} students")
    if status is None:
        _show_inputs(inputs)
    else:
        _show_status(document, status)
    for path in outcome.reports:
        say(f"report: {path}")
    say(f"artefact: {outcome.artefact}")
    say_wrapped(f"Check it again with: cj-pipeline eng5 verify {outcome.artefact}")
    if deployed:
        say("Prometheus tells how the batch was worked off:")
        for query in QUERIES:
            say(f"    {query}")


def _show_inputs(inputs: dict[str, Any]) -> None:
    listed = [(one["anchor_id"], one["grade"] or "unknown", one["file_name"]) for one in inputs["anchors"]]
    listed += [(one["essay_id"], "", one["file_name"]) for one in inputs["students"]]
    print_table("Inputs", ("id", "grade", "file"), listed)


def _show_status(document: dict[str, Any], status: dict[str, Any]) -> None:
    rows = [
        (
            f"{row['provider']}::{row['model']}",
            row["comparisons"],
            row["prompt_tokens"],
            row["completion_tokens"],
            f"{row['usd']:.4f}" + (f" + {row['unknown_cost']} unknown" if row["unknown_cost"] else ""),
        )
        for row in document["costs"]["token_counts"]
    ]
    print_table("Costs", ("judge", "comparisons", "prompt tokens", "completion tokens", "USD"), rows)
    if document["metadata"].get("judge", {}).get("kind") == "mock":
        say("A mock answered; what it says of money was not spent.")
    failed = sum(one["status"] == "failed" for one in document["llm_comparisons"])
    wanted = "" if status["wanted_comparisons"] is None else f" of at most {status['wanted_comparisons']}"
    again = f", {status['asked_again']} asked again" if status["asked_again"] else ""
    say(f"{len(document['llm_comparisons'])}{wanted} comparisons came back, {failed} failed{again}.")
    observed = status["observed_events"]
    say(", ".join(f"{name}: {count}" for name, count in observed.items()))
    if status["partial_data"]:
        say_wrapped(
            f"warning: partial data, because {status['partial_because']}. The artefact says so, and the same command "
            "goes on."
        )
