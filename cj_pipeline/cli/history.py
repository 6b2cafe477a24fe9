"""This module defines `cj-pipeline history`."""

from __future__ import annotations

from pathlib import Path

import click

from cj_pipeline.cli.output import csv_option, json_option


@click.command()
@click.argument("scenario", required=False)
@click.option("--check", metavar="NAME", help="Every run of one check of the SCENARIO.")
@click.option(
    "--html",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write HTML pages of what is published into this folder: one over all scenarios, and one for each.",
)
@json_option
@csv_option
def history(scenario: str | None, check: str | None, html: Path | None, as_json: bool, as_csv: bool) -> None:
    """Show how the published runs of the SCENARIO (all by default) went: trend, red since when, changes.

    A series of runs is compared with its own past, and starts afresh where mode, recording, code or scenario file
    change. Trials are not in it. Exits with 0 whatever the history says.
    """
    from cj_pipeline.cli.history_shown import show_history

    show_history(scenario, check, as_json, as_csv)
    if html is not None:
        from cj_pipeline.cli.history_shown import write_history_pages

        write_history_pages(html, scenario)
