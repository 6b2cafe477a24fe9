"""`cj-pipeline traces list | validate | summarise | reconstruct`: what is recorded, whether it is intact, what it adds
up to.
"""

from __future__ import annotations

from pathlib import Path

import click

from cj_pipeline.cli.output import json_option, print_json, print_table
from cj_pipeline.cli.sources import find_source, trace_store
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.parity.compare import validate_tolerances
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.runs.record import Side
from cj_pipeline.traces.reconstruct.trace import write_trace
from cj_pipeline.traces.scenario import SCENARIO_FILE
from cj_pipeline.traces.store import CALLBACKS_FILE, Trace, read_trace
from cj_pipeline.traces.summary import summarise


@click.command("list")
@json_option
def list_traces(as_json: bool) -> None:
    """List the scenarios with their traces."""
    found = [trace_store().trace(scenario_id) for scenario_id in trace_store().scenario_ids()]
    rows = [
        {
            "scenario_id": trace.scenario.scenario_id,
            "profile": trace.scenario.profile.value,
            "mode": trace.scenario.mode,
            "essays": len(trace.scenario.net.items),
            "callbacks": len(trace.callbacks.events),
            "origin": trace.provenance.origin.value,
            "sha256": trace.sha256,
        }
        for trace in found
    ]
    if as_json:
        print_json(rows)
    else:
        print_table("Scenarios", list(rows[0]) if rows else [], [list(row.values()) for row in rows])


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, file_okay=False))
@json_option
def validate(folders: tuple[Path, ...], as_json: bool) -> None:
    """Check FOLDERS (all scenarios by default): schema, mode, tolerances, every byte, every line.

    Exits with 2 at the first thing that is wrong, naming file, line and key.
    """
    chosen = folders or tuple(trace_store().root / scenario_id for scenario_id in trace_store().scenario_ids())
    if not chosen:
        raise BadInput(
            "holds no scenario.", path=trace_store().root, remedy="Name a folder, or set CJ_PIPELINE_TRACES_DIR."
        )
    results = [_validated(folder) for folder in chosen]
    if as_json:
        print_json([{"scenario_id": t.scenario.scenario_id, "sha256": t.sha256, "valid": True} for t in results])
    else:
        for trace in results:
            click.echo(
                f"{trace.scenario.scenario_id}: {len(trace.callbacks.events)} callbacks, intact ({trace.sha256})"
            )


def _validated(folder: Path) -> Trace:
    trace = read_trace(folder)
    path = folder / SCENARIO_FILE
    scenario_mode(trace.scenario, scenario_file=path)
    validate_tolerances(trace.scenario, path)
    if trace.callbacks.quarantined:
        line = trace.callbacks.quarantined[0]
        more = len(trace.callbacks.quarantined) - 1
        raise BadInput(
            line.reason + ("." if not more else f" (and {more} more lines)."),
            path=trace.callbacks.path,
            line=line.line,
            field=line.field or None,
            remedy="Capture the trace again, or take the line out and record new checksums.",
        )
    return trace


@click.command("summarise")
@click.argument("source")
@click.option("--replay", is_flag=True, help="Fill bt_se_summary and bt_quality_flags from a replay; null otherwise.")
def summarise_trace(source: str, replay: bool) -> None:
    """Print the summary JSON of SOURCE: a scenario id, a trace folder, or a JSONL file of callbacks."""
    found = find_source(source)
    path = found.callbacks.path
    name = path.absolute().parent.name if path.name == CALLBACKS_FILE else path.stem
    summary = summarise([event.data for event in found.events], name)
    if replay:
        fit = found.replayed(Side.RECORDED).document.fit
        summary = summary.with_bt(fit.se_summary, fit.quality_flags)
    click.echo(summary.to_json(), nl=False)
    if found.callbacks.quarantined:
        click.echo(f"{len(found.callbacks.quarantined)} lines could not be used and are not counted.", err=True)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
def reconstruct(folder: Path) -> None:
    """Write a trace from the published figures in FOLDER (scenario.yaml and published.yaml).

    Deterministic. A captured trace is never overwritten.
    """
    write_trace(folder)
    trace = read_trace(folder)
    click.echo(f"{trace.scenario.scenario_id}: {len(trace.callbacks.events)} callbacks reconstructed ({trace.sha256})")
    click.echo("This is a reconstruction, not a recording; provenance.json says what is published and what is drawn.")
