"""This module defines `cj-pipeline extract`: everything that a CJ database holds of a batch, as text or JSON."""

from __future__ import annotations

from pathlib import Path

import click

from cj_pipeline.cli.database_option import database_of, database_option
from cj_pipeline.cli.output import json_text, say, width
from cj_pipeline.warehouse.files import write_output

FILE_WIDTH = 100


@click.command()
@click.argument("batch", metavar="ID")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write into FILE instead.")  # fmt: skip
@database_option
def extract(batch: str, form: str, output: Path | None, database: str | None) -> None:
    """Extract batch ID of a CJ database: its number there, or its sender's id.

    Text has the state, the comparisons, the ranking, the grades and a summary. JSON has batch_info, batch_state,
    comparisons, bradley_terry_stats, grade_projections and wins_losses. Nothing is written to the database.

    \b
    cj-pipeline extract 147
    cj-pipeline extract 50f4509e-2e8c-4c62-a19d-93cf0739eefd --format json -o batch.json
    """
    from cj_pipeline.eng5.diagnostics.extract import extracted
    from cj_pipeline.eng5.diagnostics.state import batch_report
    from cj_pipeline.traces.importing.cj_database import cj_rows

    rows = cj_rows(database_of(database), batch)
    document = extracted(rows)
    if form == "json":
        text = json_text(document)
    else:
        from cj_pipeline.cli.extract_text import extract_lines

        text = "\n".join(extract_lines(document, batch_report(rows), width() if output is None else FILE_WIDTH))
    if output is None:
        click.echo(text) if form == "json" else say(text)
        return
    write_output(output, text + "\n")
    say(f"written: {output}", err=True)
