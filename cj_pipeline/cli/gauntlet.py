"""This module defines `cj-pipeline gauntlet`: every wrong mock against one comparison."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.output import (
    csv_option,
    json_option,
    print_csv,
    print_json,
    print_table,
    progress_bar,
    say_wrapped,
)
from cj_pipeline.cli.parity_options import profile_option
from cj_pipeline.warehouse.files import write_output

if TYPE_CHECKING:
    from cj_pipeline.cli.sources import Source
    from cj_pipeline.runs.record import RunRecord
    from cj_pipeline.traces.scenario import Profile


@click.command()
@click.argument("source", metavar="SCENARIO|TRACE")
@profile_option
@click.option("--markdown", type=click.Path(path_type=Path), help="Also write the result as markdown.")
@json_option
@csv_option
def gauntlet(source: str, profile: Profile | None, markdown: Path | None, as_json: bool, as_csv: bool) -> None:
    """Send every wrong mock through the comparison that `parity` makes, and say which would get past it.

    SCENARIO|TRACE: a scenario id, a trace folder, or a JSONL file of callbacks. The live side is the scenario's own
    mock; for a file, which has none, the recording itself.

    \b
    cj-pipeline gauntlet eng5_lower5_gpt51_low_20251202
    cj-pipeline gauntlet callbacks.jsonl --csv

    Exits with 0; with 3 when an essential wrong mock would get past, so that `parity` cannot tell; with 2 when
    something cannot be used. docs/gauntlet.md lists the wrong mocks.
    """
    from cj_pipeline.cli.sources import find_source
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.parity.check import Case
    from cj_pipeline.parity.gauntlet.gauntlet import WRONG_MOCKS, run_gauntlet
    from cj_pipeline.parity.gauntlet.tables import gauntlet_rows
    from cj_pipeline.reports.gauntlet_report import (
        COLUMNS,
        GLOSS,
        as_markdown,
        blind_groups,
        exit_code,
        left_out_lines,
        rows_of,
        summary_lines,
    )
    from cj_pipeline.reports.gauntlet_report import as_json as json_document
    from cj_pipeline.reports.more import command_for_more
    from cj_pipeline.runs.record import Side
    from cj_pipeline.warehouse.content_cache import cache_in

    found = find_source(source, profile)
    case = Case(found.scenario, found.replayed(Side.RECORDED), live_side(found), found.further_runs())
    with progress_bar(f"{found.scenario.scenario_id}: wrong mocks", WRONG_MOCKS) as progress:
        result = run_gauntlet(
            case,
            scenario_file=found.scenario_file,
            cached=cache_in(PipelineSettings().data_dir),
            on_progress=progress,
        )
    add = partial(command_for_more, found.scenario, source) if found.recordings else None
    if markdown is not None:
        write_output(markdown, f"# {found.scenario.title}\n\n{as_markdown(result, add)}")
    if as_json:
        print_json(json_document(result, add))
    elif as_csv:
        rows = gauntlet_rows(result)
        print_csv(list(rows[0]), [list(row.values()) for row in rows])
    else:
        say_wrapped(found.scenario.title)
        for line in summary_lines(result, add):
            say_wrapped(line, indent="    ")
        click.echo()
        print_table("Wrong mocks", COLUMNS, rows_of(result))
        say_wrapped(GLOSS)
        for heading, lines in (*blind_groups(result), ("Left out:", left_out_lines(result))):
            if lines:
                click.echo()
                say_wrapped(heading)
            for line in lines:
                say_wrapped(f"- {line}", indent="  ")
    sys.exit(exit_code(result))


def live_side(found: Source) -> RunRecord:
    """Return the live side that wrong mocks are measured by: the scenario's own run, or of a file the recording."""
    from cj_pipeline.parity.gauntlet.stand_in import stand_in
    from cj_pipeline.runs.modes import scenario_mode
    from cj_pipeline.runs.scenario_run import run_live

    if not found.recordings:
        return stand_in(found.scenario, found.events)
    mode = scenario_mode(found.scenario, None, scenario_file=found.scenario_file)
    return run_live(found.scenario, found.events, mode)
