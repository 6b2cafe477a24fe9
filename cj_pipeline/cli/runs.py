"""This module defines `cj-pipeline replay`, `live` and `parity`: one side, the other, and both compared."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from cj_pipeline.cli.between import Shown, compare_between
from cj_pipeline.cli.deployment import deployment_of, label_of
from cj_pipeline.cli.inconclusive import print_inconclusive
from cj_pipeline.cli.output import (
    csv_option,
    json_option,
    print_csv,
    print_json,
    print_table,
    progress_bar,
    say,
    say_wrapped,
)
from cj_pipeline.cli.parity_options import SEED, accept_option, profile_option, strict_option
from cj_pipeline.cli.what_if import markdown_option, seeds_option, show_what_if, what_if_option
from cj_pipeline.warehouse.files import write_output

if TYPE_CHECKING:
    from cj_pipeline.cli.sources import Source
    from cj_pipeline.mock.mode.mode import Mode
    from cj_pipeline.parity.compare import CheckResult, ParityReport
    from cj_pipeline.runs.record import RunRecord
    from cj_pipeline.runs.remote import Deployment
    from cj_pipeline.traces.provenance import Provenance
    from cj_pipeline.traces.reader import QuarantinedLine
    from cj_pipeline.traces.scenario import Profile, Scenario

seed_option = click.option("--seed", type=SEED, help="Seed of the mock; the scenario's own by default.")
realtime_option = click.option(
    "--realtime", is_flag=True, help="Take as long as the latencies do. Same answers as in virtual time."
)
lps_option = click.option("--lps", "lps_url", metavar="URL", help="Ask a deployed LPS instead, in real time.")
kafka_option = click.option(
    "--kafka", metavar="HOST:PORT,...", help="Where the deployed LPS publishes its callbacks [KAFKA_BOOTSTRAP_SERVERS]."
)
bus_option = click.option(
    "--bus",
    "bus_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which it does, where there is no Kafka [callbacks/ below CJ_PIPELINE_DATA_DIR].",
)
label_option = click.option(
    "--label",
    metavar="WORD",
    help="Of this run's batches. A deployed LPS answers a label once: there the time by default.",
)


@click.command()
@click.argument("source")
@what_if_option
@seeds_option
@markdown_option
@json_option
@csv_option
def replay(
    source: str,
    assignments: tuple[str, ...],
    seeds: int | None,
    markdown: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Run the recorded answers of SOURCE through the engine: scale, waves, decisions, diagnostics.

    SOURCE: a scenario id, a trace folder, or a JSONL file of callbacks.

    \b
    cj-pipeline replay eng5_anchor_align_gpt51_low_20251201
    cj-pipeline replay callbacks.jsonl --what-if budget=40,80 --what-if strategy=recorded,balanced --seeds 20
    """
    from cj_pipeline.cli.run_tables import show_run
    from cj_pipeline.cli.sources import answers_sha256_of_file, find_columns, find_source

    if not assignments and (seeds is not None or markdown is not None):
        raise click.UsageError("--seeds and --markdown go with --what-if; a plain replay is one run without chance.")
    if assignments:
        found = find_source(source)
        show_what_if(found, assignments, seeds, markdown, as_json, as_csv)
        _warn_of_quarantine(found.callbacks.path, found.callbacks.quarantined)
    else:
        columns = find_columns(source)
        document, order = columns.replayed()
        show_run(document, lambda: answers_sha256_of_file(columns.path, order), columns.scenario, as_json, as_csv)
        _warn_of_quarantine(columns.path, columns.quarantined)


@click.command()
@click.argument("source", metavar="SCENARIO")
@click.option("--mode", "expression", help="A mode, or +OVERLAY on the scenario's own. See: cj-pipeline lps modes")
@seed_option
@realtime_option
@lps_option
@kafka_option
@bus_option
@label_option
@json_option
@csv_option
def live(
    source: str,
    expression: str | None,
    seed: int | None,
    realtime: bool,
    lps_url: str | None,
    kafka: str | None,
    bus_folder: Path | None,
    label: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Put the net of SCENARIO to the mock: on the embedded stack, or to a deployed LPS.

    \b
    cj-pipeline live eng5_lower5_gpt51_low_20251202
    cj-pipeline live eng5_lower5_gpt51_low_20251202 --lps http://127.0.0.1:8080 --kafka 127.0.0.1:9092
    """
    from cj_pipeline.cli.run_tables import show_run
    from cj_pipeline.cli.sources import find_source

    found = find_source(source)
    deployment = deployment_of(lps_url, kafka, bus_folder, takes_mode=True)
    record = _run_live(found, expression, seed, realtime, deployment, label_of(deployment, label))
    show_run(record.document, record.answers_sha256, found.scenario, as_json, as_csv)


@click.command()
@click.argument("recorded")
@click.argument("live_source", metavar="[LIVE]", required=False)
@click.option("--mode", "expression", help="A mode, or +OVERLAY on the scenario's own; instead of LIVE.")
@seed_option
@realtime_option
@lps_option
@kafka_option
@bus_option
@label_option
@profile_option
@strict_option
@accept_option
@click.option(
    "--between",
    "between",
    is_flag=True,
    help="Compare the recordings of a scenario with each other, both ways, instead of with the mock.",
)
@click.option(
    "--first-divergence",
    "diverges",
    is_flag=True,
    help="Also say where the two sides first answer differently, and what that one answer changes.",
)
@click.option("--markdown", type=click.Path(path_type=Path), help="Also write the report as markdown.")
@click.option("--junit", type=click.Path(path_type=Path), help="Also write the report as JUnit XML.")
@click.option("--html", type=click.Path(path_type=Path), help="Also write the report as one HTML page, with figures.")
@json_option
@csv_option
def parity(
    recorded: str,
    live_source: str | None,
    expression: str | None,
    seed: int | None,
    realtime: bool,
    lps_url: str | None,
    kafka: str | None,
    bus_folder: Path | None,
    label: str | None,
    profile: Profile | None,
    strict: bool,
    accept_unproven: bool,
    between: bool,
    diverges: bool,
    markdown: Path | None,
    junit: Path | None,
    html: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Compare RECORDED with LIVE, check by check, and say PARITY, NO PARITY or CANNOT TELL.

    RECORDED: a scenario id, a trace folder, or a JSONL file of callbacks. LIVE: another one, or a mode expression to
    run the scenario under; without it, the scenario's own mode. A name that is both is the mode.

    \b
    cj-pipeline parity eng5_lower5_gpt51_low_20251202
    cj-pipeline parity eng5_lower5_gpt51_low_20251202 --mode +inverted
    cj-pipeline parity yesterday.jsonl today.jsonl
    cj-pipeline parity my_judge --between

    Exits with 0 for PARITY, 1 for NO PARITY, 3 for CANNOT TELL, 2 when something cannot be used. docs/parity.md says
    what they mean.
    """
    from cj_pipeline.cli.sources import find_source, names_callbacks
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.parity.check import Case
    from cj_pipeline.parity.compare import compare
    from cj_pipeline.parity.divergence import first_divergence
    from cj_pipeline.parity.verdict import exit_code
    from cj_pipeline.reports.headline import DIVERGENCE
    from cj_pipeline.reports.parity_report import as_json as report_json
    from cj_pipeline.reports.parity_report import as_junit, as_markdown
    from cj_pipeline.runs.record import Side
    from cj_pipeline.warehouse.content_cache import cache_in

    if between:
        _refuse({"live_source", "profile", *_ASKING}, "--between compares recordings")
        shown = Shown(diverges, markdown, junit, html, as_json, as_csv)
        compare_between(recorded, find_source(recorded), shown, strict=strict, accept_unproven=accept_unproven)
    if live_source is not None and expression is not None:
        raise click.UsageError("Give LIVE or --mode, not both.")
    is_recorded = live_source is not None and names_callbacks(live_source)
    if is_recorded:
        _refuse(_ASKING, "LIVE is recorded already, and nobody is asked")
    deployment = deployment_of(lps_url, kafka, bus_folder, takes_mode=True)
    found = find_source(recorded, profile)
    scenario = found.scenario
    live_provenances: tuple[Provenance, ...] = ()
    if live_source is not None and is_recorded:
        other = find_source(live_source)
        scenario, live_provenances = scenario.expecting_nothing(), other.provenances[:1]
        run = other.to_compare(Side.LIVE, widened(scenario, other.scenario), divergence=diverges)
        _warn_of_quarantine(other.callbacks.path, other.callbacks.quarantined)
    else:
        run = _run_live(found, live_source or expression, seed, realtime, deployment, label_of(deployment, label))
    report = compare(
        scenario,
        found.to_compare(Side.RECORDED, divergence=diverges),
        run,
        scenario_file=found.scenario_file,
        further=found.further_runs(),
        strict=strict,
        provenances=found.provenances,
        live_provenances=live_provenances,
        cached=cache_in(PipelineSettings().data_dir),
    )
    divergence = first_divergence(Case(report.scenario, report.recorded, report.live)) if diverges else None
    provenances = (*found.provenances, *live_provenances)
    mode = () if expression is None else ("--mode", expression)
    arguments = (recorded, *(() if live_source is None else (live_source,)), *mode, *([DIVERGENCE] if diverges else []))
    if markdown is not None:
        write_output(markdown, as_markdown(report, arguments, provenances))
    if html is not None:
        from cj_pipeline.reports.page.page import Compared, parity_page  # here: most commands write no page

        write_output(html, parity_page([Compared(report, provenances, arguments)]))
    if junit is not None:
        write_output(junit, as_junit([report], accept_unproven=accept_unproven))
    if as_json:
        found_first = {"first_divergence": None if divergence is None else asdict(divergence)} if diverges else {}
        print_json(report_json(report, arguments, accept_unproven=accept_unproven) | found_first)
    elif as_csv:
        from cj_pipeline.parity.tables import report_rows  # here: its warehouse takes .2 s to import

        rows = report_rows(report)
        print_csv(list(rows[0]), [list(row.values()) for row in rows])
    else:
        show_report(report, arguments)
        if diverges:
            say_wrapped("Every common comparison has the same answer." if divergence is None else divergence.sentence)
    sys.exit(exit_code(report.verdict, report.reasons, accept_unproven=accept_unproven))


# Of parity: how a live side is asked, which a recording is not.
_ASKING = frozenset({"expression", "seed", "realtime", "lps_url", "kafka", "bus_folder", "label"})


def _refuse(names: Collection[str], why: str) -> None:
    """Refuse parameters of this command that are given, and would be ignored."""
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name in names and context.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT:
            name = parameter.opts[0] if isinstance(parameter, click.Option) else "LIVE"
            raise click.UsageError(f"{why}; leave {name} out.")


def show_report(report: ParityReport, arguments: tuple[str, ...] | None = None) -> None:
    """Print one report: its headline, every check that is on as a table, what failed, what would settle the rest."""
    from cj_pipeline.reports.headline import headline_lines, off_lines

    say_wrapped(report.scenario.title)
    for line in headline_lines(report, arguments):
        say_wrapped(line, indent="    ")
    click.echo()
    print_table(
        "Checks",
        ("check", "gate", "value (recorded / live)", "tolerance", "evidence"),
        [_report_row(result) for result in report.on],
    )
    for result in report.failed:
        say_wrapped(f"{result.check.name}: {result.check.question} {result.sentence}", indent="    ")
    for result in report.different:
        if result.outcome is not None and result.evidence is not None:
            say_wrapped(f"{result.check.name}: {result.evidence.sentence(result.outcome.unit)}", indent="    ")
    print_inconclusive(report.inconclusive)
    for line in off_lines(report):
        say_wrapped(f"off: {line}", indent="    ")


def _report_row(result: CheckResult) -> list[str]:
    from cj_pipeline.reports.parity_report import values_in_words

    outcome = result.outcome
    if outcome is None:
        return [result.check.name, result.verdict.value, result.reason, "", ""]
    evidence = "exact" if outcome.evidence is None else outcome.evidence.verdict.value
    return [result.check.name, result.verdict.value, values_in_words(outcome), outcome.tolerance, evidence]


def _warn_of_strangers(found: Source, mode: Mode) -> None:
    """Say it where a mode was fitted to essays and none of them is here: its winners are then drawn for strangers."""
    from cj_pipeline.mock.mode.mode import AbilityWinner

    known = set(mode.winner.abilities) if isinstance(mode.winner, AbilityWinner) else set()
    if known and known.isdisjoint(item.id for item in found.scenario.net.items):
        say_wrapped(
            f"warning: {mode.expression} was fitted to other essays ('{min(known)}', ...) and knows none of these. An "
            "import replaces ids of essays unless it is told --no-redact; calibrate to callbacks with the same ids.",
            err=True,
        )


def _run_live(
    found: Source, expression: str | None, seed: int | None, realtime: bool, deployment: Deployment | None, label: str
) -> RunRecord:
    from cj_pipeline.runs.modes import scenario_mode
    from cj_pipeline.runs.scenario_run import Pace, comparisons_asked, run_live

    mode = scenario_mode(found.scenario, expression, scenario_file=found.scenario_file)
    _warn_of_strangers(found, mode)
    total = comparisons_asked(found.scenario, len(found.events))
    with progress_bar(f"{found.scenario.scenario_id} under {mode.expression}", total) as progress:
        return run_live(
            found.scenario,
            found.events,
            mode,
            seed=seed,
            pace=Pace.REAL if realtime else Pace.VIRTUAL,
            deployment=deployment,
            label=label,
            progress=progress,
        )


def widened(scenario: Scenario, other: Scenario) -> Scenario:
    """Return the scenario with essays added that only the other side knows, so that its fit has a place for them."""
    known = {item.id for item in scenario.net.items}
    strangers = tuple(item for item in other.net.items if item.id not in known)
    net = scenario.net.model_copy(update={"items": (*scenario.net.items, *strangers)})
    return scenario.model_copy(update={"net": net})


def _warn_of_quarantine(path: Path, quarantined: Sequence[QuarantinedLine]) -> None:
    for line in quarantined[:5]:
        say(f"{path}:{line.line}: {line.field + ': ' if line.field else ''}{line.reason} (line left out)", err=True)
    if len(quarantined) > 5:
        click.echo(f"... and {len(quarantined) - 5} more lines left out", err=True)
