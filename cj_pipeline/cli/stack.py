"""`cj-pipeline stack`: the whole deployed stack on this machine, and a batch through it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cj_pipeline.cli.output import json_option, print_json, print_table
from cj_pipeline.foundation.settings import PipelineSettings

if TYPE_CHECKING:
    from cj_pipeline.local.batch_through import BatchReport
    from cj_pipeline.local.stack import PartStatus

EXIT_DIFFERENT = 1
EXIT_NOT_UP = 1

DEFAULT_SCENARIO = "eng5_lower5_gpt51_low_20251202"

PARTS = ("kafka", "content", "lps", "cj", "dagster")


@click.group()
def stack() -> None:
    """Kafka, LPS, CJ service, content service and Dagster on this machine, as processes of their own."""


@stack.command()
@click.argument("scenario_id", metavar="[SCENARIO]", default=DEFAULT_SCENARIO)
@click.option("--mode", "expression", help="A mode, or +OVERLAY on the scenario's own, for the mock.")
@click.option("--no-dagster", "without_dagster", is_flag=True, help="For the terminal only; up in a third of the time.")
@click.option("--port", "ports", multiple=True, metavar="PART=PORT", help=f"Of {', '.join(PARTS)}; any free one else.")
@click.option(
    "--kafka", metavar="HOST:PORT,...", help="Brokers that there are [KAFKA_BOOTSTRAP_SERVERS]; else one's own."
)
@click.option("--database", envvar="CJ_PIPELINE_STACK_DATABASE_URL", help="Of the CJ service; SQLite by default.")
@click.option("--redis", "redis_url", help="For the queue of the LPS, which then outlives its process.")
@json_option
def up(
    scenario_id: str,
    expression: str | None,
    without_dagster: bool,
    ports: tuple[str, ...],
    kafka: str | None,
    database: str | None,
    redis_url: str | None,
    as_json: bool,
) -> None:
    """Start what is not up yet, and return when all of it answers.

    Both services are set up for SCENARIO: the LPS with its mode and seed, the CJ service with its engine settings.
    """
    from cj_pipeline.bus.kafka.settings import BOOTSTRAP_SERVERS, kafka_is_configured, kafka_settings_from_environment
    from cj_pipeline.cli.sources import trace_store
    from cj_pipeline.local.stack import up as bring_up
    from cj_pipeline.local.stack_plan import DAGSTER, SERVICES, StackRequest
    from cj_pipeline.runs.modes import scenario_mode
    from cj_pipeline.traces.scenario import SCENARIO_FILE

    settings = PipelineSettings()
    trace = trace_store().trace(scenario_id)
    mode = scenario_mode(trace.scenario, expression, scenario_file=trace.folder / SCENARIO_FILE)
    if kafka is not None or kafka_is_configured():
        given = {} if kafka is None else {"bootstrap_servers": kafka}
        kafka = kafka_settings_from_environment(**given).bootstrap_servers
        click.echo(f"on the brokers {kafka} (--kafka or {BOOTSTRAP_SERVERS})", err=True)
    asked = StackRequest(
        scenario=trace.scenario,
        mode_expression=_lps_mode(trace.scenario.mode, expression, mode.expression),
        traces_dir=settings.traces_dir,
        data_dir=settings.data_dir,
        parts=SERVICES if without_dagster else (*SERVICES, DAGSTER),
        ports=_ports(ports),
        kafka=kafka,
        database_url=database,
        redis_url=redis_url,
    )
    _show(bring_up(asked, told=lambda part: click.echo(f"starting {part} ...", err=True)), as_json)


@stack.command()
@click.option("--wipe", "wiped", is_flag=True, help="Remove its topics, batches, texts and logs as well.")
def down(wiped: bool) -> None:
    """End every part. What is in topics and databases stays, unless --wipe says otherwise."""
    from cj_pipeline.local.stack import down as take_down
    from cj_pipeline.local.stack import wipe

    ended = take_down(PipelineSettings().data_dir, wipe=wipe if wiped else None)
    click.echo(f"ended: {', '.join(ended)}" if ended else "nothing was up")


@stack.command()
@json_option
def status(as_json: bool) -> None:
    """Show each part, its address, process and log. Exit code 1 when one that should be up is not."""
    from cj_pipeline.local.stack import status as status_of

    parts = status_of(PipelineSettings().data_dir)
    _show(parts, as_json)
    if not parts or any(part.pid is None for part in parts):
        sys.exit(EXIT_NOT_UP)


@stack.command()
@click.argument("scenario_id", metavar="[SCENARIO]", required=False)
@click.option("--label", metavar="WORD", help="Of the batch; the time by default. One label, one batch.")
@click.option("--timeout-seconds", type=click.FloatRange(min=0.0, min_open=True), default=900.0, show_default=True)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the captured trace goes [stack/traces/ below CJ_PIPELINE_DATA_DIR].",
)
@json_option
def drive(
    scenario_id: str | None, label: str | None, timeout_seconds: float, output_dir: Path | None, as_json: bool
) -> None:
    """Ask on Kafka for a batch of SCENARIO, capture its callbacks, replay them, and compare.

    SCENARIO: by default the one for which the stack is up. Exit code 1 unless the capture is whole, and its winners and
    scores are those of the embedded stack and of the CJ service.
    """
    from cj_pipeline.cli.deployment import label_of
    from cj_pipeline.cli.sources import trace_store
    from cj_pipeline.local.batch_through import batch_through
    from cj_pipeline.local.stack import NoStack, running_plan
    from cj_pipeline.runs.remote import fresh_label

    plan = running_plan(PipelineSettings().data_dir)
    if scenario_id is not None and scenario_id != plan.scenario_id:
        raise NoStack(
            f"The stack is up for '{plan.scenario_id}', with its mode and settings. For another: "
            f"cj-pipeline stack down, then cj-pipeline stack up {scenario_id}"
        )
    scenario = trace_store().trace(plan.scenario_id).scenario
    report = batch_through(
        plan,
        scenario,
        label_of(None, label) or fresh_label(),
        output_dir=plan.folder / "traces" if output_dir is None else output_dir,
        timeout_s=timeout_seconds,
        told=lambda sentence: click.echo(sentence, err=True),
    )
    _show_report(report, as_json)
    if not report.agrees:
        sys.exit(EXIT_DIFFERENT)


@stack.command(hidden=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=0)
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), required=True)
def content(port: int, folder: Path) -> None:
    """Serve stored texts until SIGTERM; the part of the stack that stands for the content service."""
    from cj_pipeline.local.content import serve
    from cj_pipeline.local.ports import LOOPBACK

    serve(folder, LOOPBACK, port, ready=lambda url: click.echo(f"listening on {url}"))


def _ports(given: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in given:
        part, _, port = entry.partition("=")
        if part not in PARTS or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            raise click.UsageError(f"--port: '{entry}' is not PART=PORT. Parts: {', '.join(PARTS)}.")
        found[part] = int(port)
    return found


def _lps_mode(own: str, expression: str | None, loaded: str) -> str:
    """The mode as a process elsewhere can be told it: paths of mode files in full."""
    wanted = own if expression is None else own + expression if expression.startswith("+") else expression
    file = Path(wanted)
    return str(file.absolute()) if file.suffix == ".yaml" and file.is_file() else loaded


def _show(parts: tuple[PartStatus, ...], as_json: bool) -> None:
    if as_json:
        print_json([_document(part) for part in parts])
    elif parts:
        rows = [[part.name, part.address, part.pid or "not up", part.log] for part in parts]
        print_table("Stack", ("part", "address", "pid", "log"), rows)
    else:
        click.echo("no stack was started here")


def _document(part: PartStatus) -> dict[str, Any]:
    return asdict(part)


def _show_report(report: BatchReport, as_json: bool) -> None:
    if as_json:
        print_json(report.document())
        return
    rows = [[finding.name, "pass" if finding.holds else "fail", finding.sentence] for finding in report.findings]
    print_table(f"{report.bos_batch_id}: {report.outcome}", ("check", "verdict", "result"), rows)
    click.echo(f"captured: {report.trace}")
