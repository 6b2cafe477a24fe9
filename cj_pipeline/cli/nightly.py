"""This module defines `cj-pipeline nightly`: what the schedule does at 03:00 UTC, once and now."""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.output import json_option, print_json, print_table, progress_bar, say, say_wrapped
from cj_pipeline.cli.parity_options import accept_option, strict_option
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.versions import NewerVersion
from cj_pipeline.warehouse.files import write_output

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from cj_pipeline.alerts.channels import Channel
    from cj_pipeline.alerts.night import Outcome
    from cj_pipeline.alerts.night_settings import NightSettings
    from cj_pipeline.definitions import Materialised
    from cj_pipeline.parity.compare import ParityReport

_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command()
@click.option(
    "--night",
    "given",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Whose date is the seed of the mock; today (UTC) by default. The same date gives the same answers.",
)
@strict_option
@accept_option
@click.option("--junit", type=_FILE, help="Also write JUnit XML, a suite each.")
@click.option("--markdown", type=_FILE, help="Also write a summary in markdown.")
@click.option(
    "--html", type=click.Path(file_okay=False, path_type=Path), help="Also write HTML pages into this folder."
)
@click.option("--no-alerts", is_flag=True, help="Send no message, whatever CJ_PIPELINE_ALERT_* says.")
@json_option
def nightly(
    given: datetime | None,
    strict: bool,
    accept_unproven: bool,
    junit: Path | None,
    markdown: Path | None,
    html: Path | None,
    no_alerts: bool,
    as_json: bool,
) -> None:
    """Materialise every usable scenario, each by itself, and tell what is not as expected.

    Runs and events are kept in the Dagster instance (DAGSTER_HOME, or .dagster here), where the UI shows them. A
    scenario that cannot be used, or whose run breaks off, does not keep the others from running. The message goes where
    CJ_PIPELINE_ALERT_* says; CJ_PIPELINE_NIGHT_* names deployed services, and how much is kept (docs/nightly.md).

    Exits as `materialize` does; with 2 also where a scenario cannot be used.
    """
    from cj_pipeline.alerts.channels import channels_of
    from cj_pipeline.alerts.night_settings import night_settings
    from cj_pipeline.alerts.settings import alert_settings
    from cj_pipeline.cli.warehouse import checks_of, code_of, print_failed, print_suite, suite_rows
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.parity.verdict import worst_code
    from cj_pipeline.traces.arrivals import arrivals

    settings = PipelineSettings()
    found = arrivals(settings.traces_dir, {})
    if not found.present:
        raise BadInput(
            "holds no scenario.",
            path=settings.traces_dir,
            remedy="Run from the project's folder, or set CJ_PIPELINE_TRACES_DIR.",
        )
    alerts = alert_settings()
    channels = {} if no_alerts else channels_of(alerts)
    _check_outputs(junit, markdown, html)
    night = utc_now().date() if given is None else given.date()
    own = night_settings()
    for words in own.strangers(found.present).values():
        raise BadInput(words, path="environment", remedy="Correct the name, or take it out.")
    results = _run(tuple(found.new), night, strict, own.lps)
    stored = [checks_of(result) for result in results]
    rows = suite_rows(results, stored)
    if not as_json:
        print_suite(rows)  # first: whatever breaks off after it, the night is not lost
    outcomes, told = _conclude(settings.data_dir, night, results, found.broken, channels, alerts.ui_url)
    if as_json:
        print_json(
            {
                "night": night.isoformat(),
                "outcomes": [one.model_dump(mode="json") for one in outcomes],
                "scenarios": rows,
                "message": told,
            }
        )
    else:
        _print_red(outcomes)
        print_failed(zip(rows, stored, strict=True))
        say_wrapped(told)
    _write(settings.traces_dir, night, results, rows, outcomes, junit, markdown, accept_unproven=accept_unproven)
    if html is not None:
        from cj_pipeline.cli.pages import write_pages

        folders = {result.scenario_id: settings.traces_dir / result.scenario_id for result in results}
        say(f"The page over all scenarios is {write_pages(html, results, folders)}.", err=True)
    _retain(own)
    codes = [code_of(*one, accept_unproven) for one in zip(results, stored, strict=True)]
    sys.exit(worst_code([*codes, *(exit_codes.BAD_INPUT for _ in found.broken)]))


def _check_outputs(junit: Path | None, markdown: Path | None, html: Path | None) -> None:
    """Write and remove a file in each folder, so that a mistake is told before the night and not after it."""
    asked = {"--junit": junit and junit.parent, "--markdown": markdown and markdown.parent, "--html": html}
    for option, folder in asked.items():
        if folder is None:
            continue
        try:
            if option == "--html":  # which is made where it is not there
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            problem = f"cannot be written: {error.strerror}."
            raise BadInput(problem, path=folder, field=option, remedy="Make the folder, or name another.") from None


def _run(scenario_ids: tuple[str, ...], night: date, strict: bool, deployed: Mapping[str, str]) -> list[Materialised]:
    try:
        from cj_pipeline.definitions import materialise
        from cj_pipeline.instance import instance_at_home, storage_errors
    except ModuleNotFoundError as error:
        raise CjPipelineError(f"{error}. A night needs Dagster: install cj-pipeline[dagster].") from None
    results = []
    with (
        storage_errors(),
        instance_at_home() as instance,
        progress_bar(f"night of {night}", len(scenario_ids)) as progress,
    ):
        for result in materialise(scenario_ids, night=night, strict=strict, deployed=deployed, instance=instance):
            results.append(result)
            progress(1)
    return results


def _conclude(
    data_dir: Path,
    night: date,
    results: list[Materialised],
    broken: dict[str, str],
    channels: Mapping[str, Channel],
    ui_url: str,
) -> tuple[tuple[Outcome, ...], str]:
    """Conclude the night, send its message, and return the outcomes with their dates, and what was told, in words."""
    from cj_pipeline.alerts.conclude import conclude
    from cj_pipeline.alerts.night import read_night, unusable
    from cj_pipeline.warehouse.data_root import data_root

    outcomes = [result.outcome for result in results] + [unusable(*one) for one in broken.items()]
    alert, problems = conclude(
        data_dir.absolute(), night, outcomes, channels, utc_now(), ui_url=ui_url, datasets=data_root()
    )
    for problem in problems:
        say(f"warning: {problem}", err=True)
    try:
        concluded = read_night(data_dir.absolute(), night)
    except NewerVersion:  # named among the problems
        concluded = None
    dated = tuple(outcomes) if concluded is None else concluded.outcomes
    if alert is None:
        return dated, f"Night of {night}: all {len(dated)} scenarios are as expected, as they were."
    whereabouts = _whereabouts(data_dir.absolute(), alert.id)
    return dated, f"{alert.subject}. Message {alert.id}: {whereabouts}."


def _whereabouts(root: Path, alert_id: str) -> str:
    """Say which channels have taken a message, and for which it is kept."""
    from cj_pipeline.alerts.outbox import outbox

    kept = next((kept for kept in outbox(root) if kept.alert.id == alert_id), None)
    if kept is None or not kept.channels:  # it was first told where there was none
        return "kept in the data folder, for no channel"
    taken = [name for name in kept.channels if name not in kept.waiting]
    told = [f"taken by {', '.join(taken)}"] if taken else []
    return "; ".join([*told, *([f"kept for {', '.join(kept.waiting)}"] if kept.waiting else [])])


def _retain(settings: NightSettings) -> None:
    """Remove old runs as far as the settings say; what cannot be removed is no fault of the night."""
    if settings.keep_runs is None and settings.keep_days is None:
        return
    from assets.retention import retain
    from cj_pipeline.instance import instance_at_home
    from cj_pipeline.warehouse.data_root import data_root

    try:
        with instance_at_home() as instance:
            say(retain(instance, data_root(), settings, utc_now()), err=True)
    except (CjPipelineError, OSError) as problem:
        say(f"warning: old runs were not removed: {problem}", err=True)


def _write(
    traces_dir: Path,
    night: date,
    results: list[Materialised],
    rows: list[dict[str, object]],
    outcomes: tuple[Outcome, ...],
    junit: Path | None,
    markdown: Path | None,
    *,
    accept_unproven: bool,
) -> None:
    from cj_pipeline.cli.night_report import night_junit, night_markdown

    if junit is not None:
        reports = [_report(traces_dir, result) for result in results if result.compared]
        write_output(junit, night_junit(reports, outcomes, accept_unproven=accept_unproven))
    if markdown is not None:
        write_output(markdown, night_markdown(f"Parity, night of {night}", rows, outcomes))


def _report(traces_dir: Path, result: Materialised) -> ParityReport:
    from cj_pipeline.parity.tables import load_report
    from cj_pipeline.traces.store import TraceStore

    return load_report(result.run, TraceStore(traces_dir).scenario(result.scenario_id))


def _print_red(outcomes: tuple[Outcome, ...]) -> None:
    red = [one for one in outcomes if not one.good]
    if red:
        print_table(
            "Not as expected",
            ("scenario", "what", "since"),
            [(one.scenario_id, one.words or one.state.value, str(one.since)) for one in red],
        )
    for one in red:
        if not one.words:  # without a verdict there is no row of a check to show
            for sentence in one.sentences:
                say_wrapped(f"{one.scenario_id}: {sentence}", indent="    ")
