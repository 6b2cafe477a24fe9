"""This module holds `cj-pipeline traces validate | summarise | reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.output import json_option, print_json, say_wrapped
from cj_pipeline.cli.scenario_names import scenario_folder
from cj_pipeline.foundation.errors import BadInput

if TYPE_CHECKING:
    from cj_pipeline.traces.reader import QuarantinedLine
    from cj_pipeline.traces.scenario import Scenario
    from cj_pipeline.traces.store import Quarantine, Recording


@click.command()
@click.argument("scenarios", metavar="[SCENARIO]...", nargs=-1)
@json_option
def validate(scenarios: tuple[str, ...], as_json: bool) -> None:
    """Check SCENARIOs (ids or folders; all by default): schema, mode, tolerances, every byte, line and recording.

    Says what an import or a capture put into quarantine. Exits with 2 at the first thing that is wrong, naming file,
    line and key.
    """
    from cj_pipeline.cli.sources import trace_store
    from cj_pipeline.traces.store import MAIN

    store = trace_store()
    chosen = [scenario_folder(name) for name in scenarios or store.scenario_ids()]
    if not chosen:
        raise BadInput("holds no scenario.", path=store.root, remedy="Name a folder, or set CJ_PIPELINE_TRACES_DIR.")
    results = [_validated(folder) for folder in chosen]
    if as_json:
        print_json(
            [
                {
                    "scenario_id": scenario.scenario_id,
                    "sha256": counted[0][0].sha256,
                    "recordings": [
                        {
                            "name": recording.name,
                            "sha256": recording.sha256,
                            "callbacks": callbacks,
                            "quarantined": quarantine.lines,
                            "quarantine_reasons": quarantine.reasons,
                        }
                        for recording, callbacks, quarantine in counted
                    ],
                    "valid": True,
                }
                for scenario, counted in results
            ]
        )
        return
    for scenario, counted in results:
        for recording, callbacks, quarantine in counted:
            name = scenario.scenario_id + ("" if recording.name == MAIN else f", recording {recording.name}")
            click.echo(f"{name}: {callbacks} callbacks, intact ({recording.sha256})")
            if quarantine.lines:
                count = f"quarantined lines of what was {recording.provenance.origin}: {quarantine.lines}"
                say_wrapped(f"{name}: {count}. The first reasons: {'; '.join(quarantine.reasons)}.", indent="    ")


def _validated(folder: Path) -> tuple[Scenario, list[tuple[Recording, int, Quarantine]]]:
    from cj_pipeline.parity.compare import validate_tolerances
    from cj_pipeline.runs.modes import scenario_mode
    from cj_pipeline.traces.carried_hints import require_carried_hints
    from cj_pipeline.traces.scenario import SCENARIO_FILE
    from cj_pipeline.traces.store import check_callbacks, quarantine_of, trace_recordings

    scenario, recordings = trace_recordings(folder)
    path = folder / SCENARIO_FILE
    scenario_mode(scenario, scenario_file=path)
    validate_tolerances(scenario, path)
    require_carried_hints(scenario, path, recordings[0].path)
    return scenario, [(one, check_callbacks(one, scenario), quarantine_of(one)) for one in recordings]


@click.command("summarise")
@click.argument("source")
@click.option("--recording", help="Which recording of the scenario.  [default: the main one]")
@click.option(
    "--replay", is_flag=True, help="Take the Bradley-Terry figures from a replay under the scenario's engine settings."
)
def summarise_trace(source: str, recording: str | None, replay: bool) -> None:
    """Print the summary JSON of SOURCE: a scenario id, a trace folder, or a JSONL file of callbacks."""
    from cj_pipeline.cli.sources import find_columns, find_recording
    from cj_pipeline.traces.file_scenario import no_usable_line
    from cj_pipeline.traces.summary import summarise_file

    if replay and recording is not None:
        raise click.UsageError("--replay takes the main recording; leave out --recording.")
    found = find_recording(source, recording)
    unusable = _Unusable()
    summary = summarise_file(found.path, found.scenario_id, found.essays, on_quarantined=unusable.note)
    if summary.total_events == 0 and unusable.first is not None:
        raise no_usable_line(found.path, unusable.first)
    if replay:
        fit = find_columns(source).replayed()[0].fit
        summary = summary.with_bt(fit.se_summary, fit.quality_flags)
    click.echo(summary.to_json(), nl=False)
    if unusable.count:
        click.echo(f"{unusable.count} lines could not be used and are not counted.", err=True)


class _Unusable:
    """How many lines were of no use, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: QuarantinedLine | None = None

    def note(self, line: QuarantinedLine) -> None:
        self.count += 1
        self.first = self.first or line


@click.command()
@click.argument("scenario", metavar="SCENARIO")
def reconstruct(scenario: str) -> None:
    """Write the trace of SCENARIO (an id or a folder) from its published figures: scenario.yaml and published.yaml.

    Deterministic. A captured trace is never overwritten.
    """
    from cj_pipeline.traces.reconstruct.trace import reconstruct_trace
    from cj_pipeline.traces.store import read_trace

    trace = read_trace(reconstruct_trace(scenario_folder(scenario)))
    click.echo(f"{trace.scenario.scenario_id}: {len(trace.callbacks.events)} callbacks reconstructed ({trace.sha256})")
    click.echo("This is a reconstruction, not a recording; provenance.json says what is published and what is drawn.")
