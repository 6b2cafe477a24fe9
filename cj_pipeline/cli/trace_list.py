"""This module defines `cj-pipeline traces list`, which reads what it lists and no callback."""

from __future__ import annotations

import json
import sys
from pathlib import Path, PurePath
from typing import Any

import click

from cj_pipeline.cli.output import csv_option, json_option, print_csv, print_json, print_table, say, width
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.input_file import read_input
from cj_pipeline.traces.provenance import read_provenance, verify_checksums
from cj_pipeline.traces.scenario import SCENARIO_FILE, read_scenario
from cj_pipeline.traces.scenario_folders import CALLBACKS_FILE, SUMMARY_FILE, scenario_ids

COLUMNS = ("scenario_id", "profile", "mode", "essays", "recordings", "callbacks", "origin", "sha256")

# What fits 80 columns beside an id of 36 characters.
NARROW = ("scenario_id", "essays", "recordings", "callbacks", "origin")
_SHORT = {"scenario_id": "scenario", "recordings": "runs"}
WIDE_ENOUGH = 140

DIGITS = 8


@click.command("list")
@json_option
@csv_option
def list_traces(as_json: bool, as_csv: bool) -> None:
    """List the scenarios with their traces.

    Callbacks, origin and digest are those of the main recording. A folder that cannot be used is named on standard
    error, and the exit code is then 2. A narrow terminal shows the most important columns; --json and --csv have all.
    """
    from cj_pipeline.foundation.settings import PipelineSettings

    root = PipelineSettings().traces_dir
    rows: list[dict[str, Any]] = []
    unusable = 0
    for scenario_id in scenario_ids(root):
        try:
            rows.append(_row(root / scenario_id))
        except (CjPipelineError, OSError) as error:
            say(f"error: {error}", err=True)
            unusable += 1
    if as_json:
        print_json(rows)
    elif as_csv:
        print_csv(COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
    else:
        shown = COLUMNS if width() >= WIDE_ENOUGH else NARROW
        short = [{**row, "sha256": row["sha256"][:DIGITS]} for row in rows]
        headings = COLUMNS if shown is COLUMNS else [_SHORT.get(column, column) for column in NARROW]
        print_table(f"Scenarios below {root}", headings, [[row[column] for column in shown] for row in short])
    if unusable:
        sys.exit(exit_codes.BAD_INPUT)


def _row(folder: Path) -> dict[str, Any]:
    """Return one line of the list. Raises BadInput when something in the folder was edited or is missing."""
    scenario = read_scenario(folder / SCENARIO_FILE)
    digests = verify_checksums(folder)
    for name in (CALLBACKS_FILE, SUMMARY_FILE):
        if name not in digests:
            raise BadInput("is not covered by SHA256SUMS.", path=folder / name)
    counts = json.loads(read_input(folder / SUMMARY_FILE))
    return {
        "scenario_id": scenario.scenario_id,
        "profile": scenario.profile.value,
        "mode": scenario.mode,
        "essays": len(scenario.net.items),
        "recordings": sum(PurePath(name).name == CALLBACKS_FILE for name in digests),
        "callbacks": counts["success_count"] + counts["error_count"],
        "origin": read_provenance(folder).origin.value,
        "sha256": digests[CALLBACKS_FILE],
    }
