"""This module is `cj-pipeline traces redact`: a copy of a trace that may be handed on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.output import json_option, print_json, print_table
from cj_pipeline.cli.scenario_names import scenario_folder
from cj_pipeline.cli.trace_results import redaction_detail_options, redaction_under

if TYPE_CHECKING:
    from cj_pipeline.mock.mode.mode import Mode
    from cj_pipeline.traces.redaction.redaction import Redaction
    from cj_pipeline.traces.redaction.trace import RedactedTrace
    from cj_pipeline.traces.scenario import Scenario


@click.command()
@click.argument("source")
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@redaction_detail_options
@click.option(
    "--allow-key",
    "allowed_keys",
    multiple=True,
    metavar="NAME",
    help="Keep this key of request_metadata too, with whatever it says. May be given several times.",
)
@click.option("--mode", help="Mode of the copy.  [default: the trace's own, under the copy's names]")
@json_option
def redact(
    source: str,
    target: Path,
    justifications: str,
    key_file: Path | None,
    allowed_keys: tuple[str, ...],
    mode: str | None,
    as_json: bool,
) -> None:
    """Write a copy of the trace SOURCE (an id or a folder), without names and texts, to the new folder TARGET.

    Essays get pseudonyms, the same ones in every trace redacted with the same key. TARGET's name is its scenario id.
    docs/redaction.md says what is kept.
    """
    from cj_pipeline.mock.mode.files import load_mode
    from cj_pipeline.parity.compare import validate_tolerances
    from cj_pipeline.runs.modes import scenario_mode
    from cj_pipeline.traces.redaction.trace import redact_trace, require_new
    from cj_pipeline.traces.scenario import SCENARIO_FILE, read_scenario

    folder = scenario_folder(source)
    scenario = read_scenario(folder / SCENARIO_FILE)
    # Their names are carried over as they are.
    validate_tolerances(scenario, folder / SCENARIO_FILE)
    require_new(target)
    chosen = scenario_mode(scenario, scenario_file=folder / SCENARIO_FILE) if mode is None else load_mode(mode)
    redaction = redaction_under(justifications, key_file, allowed_keys=tuple(sorted(allowed_keys)))
    made = redact_trace(folder, target, redaction, _mode_text(scenario, chosen, mode, target.name, redaction))
    if as_json:
        print_json(_document(made))
    else:
        _show(made)


def _mode_text(
    scenario: Scenario, chosen: Mode, asked: str | None, scenario_id: str, redaction: Redaction
) -> str | None:
    """Return a mode file for the copy; None where the built-in mode of the scenario will do as it is.

    A file's path may name its owner, and a mode that names essays must name them as the copy does.
    """
    from cj_pipeline.mock.mode.essays import essays_named, renamed_mode

    if asked is None and not essays_named(chosen) and ".yaml" not in scenario.mode:
        return None
    return renamed_mode(chosen, f"{scenario_id}_mode", redaction.essay, redaction.model)


def _document(made: RedactedTrace) -> dict[str, object]:
    return {
        "folder": str(made.folder),
        "scenario_id": made.folder.name,
        "callbacks": made.callbacks,
        "unusable_lines": made.unusable,
        "sha256": made.sha256,
        **made.redaction.model_dump(mode="json", include={"policy", "key_id", "dropped"}),
    }


def _show(made: RedactedTrace) -> None:
    rows = [(kind.replace("_", " "), count) for kind, count in made.redaction.dropped.items()]
    if rows:
        print_table(f"{made.folder.name}: taken out", ("what", "how many"), rows)
    unusable = f", {made.unusable} unusable lines" if made.unusable else ""
    click.echo(f"{made.folder}: {made.callbacks} callbacks{unusable} ({made.sha256})")
    click.echo(
        f"Redacted under the key {made.redaction.key_id}, justifications: {made.redaction.policy.justifications}."
    )
