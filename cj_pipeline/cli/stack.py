"""This module defines `cj-pipeline stack`: the whole deployed stack on this machine, and a batch through it."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cj_pipeline.cli.output import json_option, print_json, say, say_wrapped
from cj_pipeline.foundation import exit_codes

if TYPE_CHECKING:
    from cj_pipeline.local.driven_batch import DrivenBatch

DEFAULT_SCENARIO = "eng5_lower5_gpt51_low_20251202"

PARTS = ("kafka", "content", "lps", "cj", "dagster")

scenario_option = click.option("--scenario", "scenario_id", default=DEFAULT_SCENARIO, show_default=True)
mode_option = click.option("--mode", "expression", help="A mode, or +OVERLAY on the scenario's own, for the mock.")
ports_option = click.option(
    "--port",
    "ports",
    multiple=True,
    envvar="CJ_PIPELINE_STACK_PORTS",
    metavar="PART=PORT",
    help="Of kafka (9092), content (8081), lps (8080), cj (9090), dagster (3000) [CJ_PIPELINE_STACK_PORTS].",
)
kafka_option = click.option(
    "--kafka", metavar="HOST:PORT,...", help="Brokers that run already [KAFKA_BOOTSTRAP_SERVERS]; else one's own."
)


@click.group(invoke_without_command=True)
@scenario_option
@mode_option
@click.option("--no-dagster", "without_dagster", is_flag=True, help="For the terminal only; up in a third of the time.")
@ports_option
@kafka_option
@click.option("--database", envvar="CJ_PIPELINE_STACK_DATABASE_URL", help="Of the CJ service; SQLite by default.")
@click.option("--redis", "redis_url", help="For the queue of the LPS, which then outlives its process.")
@click.pass_context
def stack(
    context: click.Context,
    scenario_id: str,
    expression: str | None,
    without_dagster: bool,
    ports: tuple[str, ...],
    kafka: str | None,
    database: str | None,
    redis_url: str | None,
) -> None:
    """Run Kafka, LPS, CJ service, content service and Dagster on this machine until Ctrl-C.

    Both services are set up for the scenario: the LPS with its mode and seed, the CJ service with its engine settings.
    When a part ends, all of them end, and the last lines of its log are shown.
    """
    if context.invoked_subcommand is not None:
        return
    from cj_pipeline.cli.sources import trace_store
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.local.server import wait_for_an_end
    from cj_pipeline.local.stack import running_stack
    from cj_pipeline.local.stack_plan import StackPlan
    from cj_pipeline.runs.modes import mode_expression, scenario_mode
    from cj_pipeline.traces.scenario import SCENARIO_FILE

    settings = PipelineSettings()
    trace = trace_store().trace(scenario_id)
    scenario_file = trace.folder / SCENARIO_FILE
    # Read here: a mistake in it is shown before anything is started.
    scenario_mode(trace.scenario, expression, scenario_file=scenario_file)
    plan = StackPlan(
        scenario=trace.scenario,
        mode_expression=_for_another_process(mode_expression(trace.scenario, expression, scenario_file=scenario_file)),
        traces_dir=settings.traces_dir,
        data_dir=settings.data_dir,
        datasets=settings.data_address,
        ports=ports_of(ports),
        with_dagster=not without_dagster,
        kafka=_brokers(kafka),
        database_url=database,
        redis_url=redis_url,
    )
    # `kill` ends the stack as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with running_stack(plan, report=click.echo) as servers:
            click.echo("The stack is up; Ctrl-C stops it. A batch through it: cj-pipeline stack drive")
            wait_for_an_end(servers.values())
    except KeyboardInterrupt:
        click.echo("stopped; topics, batches and logs stay")


@stack.command()
@scenario_option
@mode_option
@ports_option
@kafka_option
@click.option("--label", metavar="WORD", help="Of the batch; the time by default. One label, one batch.")
@click.option("--timeout-seconds", type=click.FloatRange(min=0.0, min_open=True), default=900.0, show_default=True)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the captured trace goes [CJ_PIPELINE_TRACES_DIR, which the stack's Dagster reads].",
)
@json_option
def drive(
    scenario_id: str,
    expression: str | None,
    ports: tuple[str, ...],
    kafka: str | None,
    label: str | None,
    timeout_seconds: float,
    output_dir: Path | None,
    as_json: bool,
) -> None:
    """Drive a batch of the scenario through the running stack, and compare it with the embedded stack.

    Scenario, mode, ports and brokers are those that the stack was started with. The callbacks are captured as a trace;
    the embedded stack is asked the same, under the same ids, so every answer must be the same.

    Exits with 0 when no gate fails and the CJ service published the scores that the captured callbacks give, with 1
    otherwise. The margins are those of the profile judge: what the scenario asks of its judge is not asked here.
    """
    from cj_pipeline.bus.kafka.settings import KafkaSettings, kafka_settings_from_environment
    from cj_pipeline.cli.deployment import label_of
    from cj_pipeline.cli.sources import trace_store
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.local.drive import DriveRequest, StackAddress
    from cj_pipeline.local.driven_batch import drive as drive_batch
    from cj_pipeline.local.stack_plan import DEFAULT_PORTS
    from cj_pipeline.runs.modes import scenario_mode
    from cj_pipeline.runs.remote import fresh_label
    from cj_pipeline.traces.scenario import SCENARIO_FILE

    trace = trace_store().trace(scenario_id)
    at = {part: f"127.0.0.1:{port}" for part, port in {**DEFAULT_PORTS, **ports_of(ports)}.items()}
    brokers = _brokers(kafka)
    found = drive_batch(
        StackAddress(
            content_url=f"http://{at['content']}",
            lps_url=f"http://{at['lps']}",
            kafka=(
                KafkaSettings(bootstrap_servers=at["kafka"])
                if brokers is None
                else kafka_settings_from_environment(bootstrap_servers=brokers)
            ),
        ),
        DriveRequest(
            scenario=trace.scenario,
            scenario_folder=trace.folder,
            mode=scenario_mode(trace.scenario, expression, scenario_file=trace.folder / SCENARIO_FILE),
            label=label_of(None, label) or fresh_label(),
            output_dir=output_dir or PipelineSettings().traces_dir,
            timeout_s=timeout_seconds,
        ),
        report=lambda sentence: click.echo(sentence, err=True),
    )
    _show(found, as_json)
    if not found.agrees:
        sys.exit(exit_codes.CHECK_FAILED)


@stack.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@ports_option
@click.option("--lps", "lps_at", multiple=True, metavar="HOST:PORT", help="An LPS elsewhere; once for each instance.")
@click.option(
    "--cj", "cj_at", multiple=True, metavar="HOST:PORT", help="A CJ service elsewhere; once for each replica."
)
@click.option("--force", is_flag=True, help="Replace files of these names, also a configuration of your own.")
def observe(folder: Path, ports: tuple[str, ...], lps_at: tuple[str, ...], cj_at: tuple[str, ...], force: bool) -> None:
    """Write what Prometheus and Grafana need to watch the two services.

    FOLDER gets prometheus.yml, alerts.yml and dashboard.json.
    """
    from cj_pipeline.local.stack_plan import DEFAULT_PORTS
    from cj_pipeline.reports.observability.files import write_files

    at = {**DEFAULT_PORTS, **ports_of(ports)}
    given = {"lps": _places("--lps", lps_at), "cj": _places("--cj", cj_at)}
    targets = {job: places or (f"127.0.0.1:{at[job]}",) for job, places in given.items()}
    config, alerts, board = write_files(folder, targets, replace=force)
    for job, places in targets.items():
        say_wrapped(f"{config}: job {job} asks {', '.join(places)}")
    say_wrapped(f"{alerts}: the alert rules, which Prometheus loads")
    say_wrapped(f"{board}: for Grafana, under Dashboards, New, Import")
    # Its own default is the port of the CJ service.
    say("Start Prometheus, for example:")
    command = ("prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}")
    say(f"  {shlex.join(command)} \\\n    --web.listen-address=127.0.0.1:9091")


_RUNS_IN_FOREGROUND = "`cj-pipeline stack` runs in the foreground now"
_REMOVED = {
    "up": f"{_RUNS_IN_FOREGROUND}. Write: cj-pipeline stack [--scenario ID]",
    "down": f"{_RUNS_IN_FOREGROUND}. Stop it with Ctrl-C where it runs.",
    "status": f"{_RUNS_IN_FOREGROUND}, and says where it runs which parts are up.",
}


def _removed_command(name: str, sentence: str) -> click.Command:
    @click.command(name, hidden=True, context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def removed(arguments: tuple[str, ...]) -> None:
        raise click.UsageError(f"'stack {name}' was removed: {sentence}")

    return removed


for _name, _sentence in _REMOVED.items():
    stack.add_command(_removed_command(_name, _sentence))


def _brokers(given: str | None) -> str | None:
    """Return the brokers that somebody else runs, from the option or the environment; None for the stack's own."""
    from cj_pipeline.bus.kafka.settings import BOOTSTRAP_SERVERS, kafka_is_configured, kafka_settings_from_environment

    if given is None and not kafka_is_configured():
        return None
    settings = kafka_settings_from_environment(**({} if given is None else {"bootstrap_servers": given}))
    click.echo(f"on the brokers {settings.bootstrap_servers} (--kafka or {BOOTSTRAP_SERVERS})", err=True)
    return settings.bootstrap_servers


def ports_of(given: tuple[str, ...]) -> dict[str, int]:
    """Return the ports that are given as PART=PORT, by part. Raises click.UsageError."""
    found: dict[str, int] = {}
    for entry in given:
        part, _, port = entry.partition("=")
        if part not in PARTS or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            raise click.UsageError(f"--port: '{entry}' is not PART=PORT. Parts: {', '.join(PARTS)}.")
        found[part] = int(port)
    return found


def _places(option: str, given: tuple[str, ...]) -> tuple[str, ...]:
    for place in given:
        found = re.fullmatch(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", place, re.ASCII)
        if found is None or not 0 < int(found[1]) < 65_536:
            raise click.UsageError(f"{option}: '{place}' is not HOST:PORT. Prometheus adds http:// and /metrics.")
    return given


def _for_another_process(expression: str) -> str:
    """Return a mode expression that means the same in another working directory."""
    return str(Path(expression).absolute()) if ".yaml" in expression else expression


def _show(found: DrivenBatch, as_json: bool) -> None:
    from cj_pipeline.cli.runs import show_report
    from cj_pipeline.reports.parity_report import as_json as report_json

    if as_json:
        print_json(_document(found) | {"parity": report_json(found.parity)})
        return
    show_report(found.parity)
    end = "completed" if found.answer.failure is None else f"failed: {found.answer.failure}"
    click.echo(f"{found.bos_batch_id}: {end} after {found.seconds:.1f} s; captured: {found.trace}")
    difference = found.score_difference
    if difference is None:
        click.echo("The CJ service published no scores of these essays.")
    else:
        click.echo(f"Published scores differ from the replay of the capture by {difference:.1e} logits at most.")
    if found.agrees:
        say_wrapped(
            "Both stacks agree: they were asked under the same ids, gave the same answers, and no gate failed. That is "
            "no proof about a judge, which is why the verdict above says CANNOT TELL."
        )


def _document(found: DrivenBatch) -> dict[str, Any]:
    essays = () if found.answer.result is None else found.answer.result.essay_results
    return {
        "bos_batch_id": found.bos_batch_id,
        "agrees": found.agrees,
        "failure": found.answer.failure,
        "seconds": found.seconds,
        "trace": str(found.trace),
        "score_difference_logits": found.score_difference,
        "ranking": [[essay.essay_id, essay.rank, essay.bt_score] for essay in essays],
    }
