"""This module defines `cj-pipeline warehouse migrate`."""

from __future__ import annotations

import sys
from collections import Counter

import click

from cj_pipeline.cli.output import say, say_wrapped
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.errors import BadInput


@click.command("migrate")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
def migrate_data(dry_run: bool) -> None:
    """Bring the data folder to the version of today: parts of runs, and the catalogue (docs/versions.md).

    What an older version wrote is read all the same. Nothing is changed where a newer version wrote something. Exits
    with 2 when a file cannot be used; the others are migrated, and runs with such a file leave the catalogue.
    """
    from cj_pipeline.cli.sources import trace_store
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.foundation.stored_formats import PART
    from cj_pipeline.warehouse.migration import migrate, planned
    from cj_pipeline.warehouse.store import Warehouse

    data = Warehouse(PipelineSettings().data_dir)
    if not data.root.is_dir():
        raise BadInput("no such folder.", path=data.root, remedy="Set CJ_PIPELINE_DATA_DIR.")
    found = planned(data) if dry_run else migrate(data, trace_store().scenario_ids())
    are, is_ = ("would be", "would be") if dry_run else ("are", "is")
    for run, parts in Counter((part.path.parents[2].name, part.path.parents[1].name) for part in found.parts).items():
        say(f"run {run[0]} of {run[1]}: {parts} parts {are} version {PART.version}")
    if found.catalogue or found.parts:
        say(f"{data.catalogue_path} {is_} made again")
    elif not found.problems:
        say(f"{data.root}: {found.current} parts of version {PART.version}; nothing to do")
    if ignored := data.first_edition():
        say_wrapped(f"warning: {ignored}.", err=True)
    for problem in found.problems:
        say(f"error: {problem}", err=True)
    sys.exit(exit_codes.BAD_INPUT if found.problems else exit_codes.PASSED)
