"""This module runs `cj-pipeline replay SOURCE --what-if ...`: the recorded answers under other engine settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.output import print_csv, print_json, print_table, progress_bar, say_wrapped
from cj_pipeline.runs.what_if_grid import ALIASES
from cj_pipeline.warehouse.files import write_output

if TYPE_CHECKING:
    from cj_pipeline.cli.sources import Source

DEFAULT_SEEDS = 5
MOST_SEEDS = 200

what_if_option = click.option(
    "--what-if",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE[,VALUE...]",
    help="Try the recorded answers under other engine settings; several make every combination. NAME: a setting as in "
    f"scenario.yaml, or {', '.join(ALIASES)}.",
)
seeds_option = click.option(
    "--seeds",
    type=click.IntRange(1, MOST_SEEDS),
    help=f"With --what-if: runs of each combination, one a seed; {DEFAULT_SEEDS} by default.",
)
markdown_option = click.option(
    "--markdown", type=click.Path(path_type=Path), help="With --what-if: also write the table as markdown."
)


def show_what_if(
    found: Source,
    assignments: Sequence[str],
    seeds: int | None,
    markdown: Path | None,
    json_asked: bool,
    csv_asked: bool = False,
) -> None:
    """Run every combination over the recorded answers of a source, and print what each comes to."""
    from cj_pipeline.reports.what_if_table import as_json, as_markdown, caption_of, columns_of, notes_of, rows_of
    from cj_pipeline.runs.what_if import replayed_settings, what_if
    from cj_pipeline.runs.what_if_grid import variants_of

    variants = variants_of(assignments, replayed_settings(found.scenario))
    first = found.scenario.live.seed
    chosen = range(first, first + (DEFAULT_SEEDS if seeds is None else seeds))
    with progress_bar(f"{found.scenario.scenario_id}: what if", len(variants) * len(chosen)) as progress:
        result = what_if(found.scenario, found.events, variants, seeds=chosen, progress=progress)
    if markdown is not None:
        write_output(markdown, as_markdown(result))
    if json_asked:
        print_json(as_json(result))
        return
    if csv_asked:
        print_csv(columns_of(result), rows_of(result))
        return
    title = f"{found.scenario.title}: the same answers under other settings; {caption_of(result)}"
    print_table(title, columns_of(result), rows_of(result))
    for note in notes_of(result):
        say_wrapped(note)
