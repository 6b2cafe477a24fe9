"""This module is `cj-pipeline calibrate`: a mode fitted to recordings, and how well it foretells what was held out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cj_pipeline.cli.output import json_option, print_json, print_table, say_wrapped
from cj_pipeline.cli.sources import Source, find_source
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.foundation.json_lines import bare_name
from cj_pipeline.mock.mode.held_out import held_out_checks
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.runs.calibration import CalibratedFrom, calibrated, write_calibrated
from cj_pipeline.traces.reader import CallbackFile, read_callbacks
from cj_pipeline.traces.store import Recording


@click.command()
@click.argument("source")
@click.option(
    "--holdout",
    "held_out",
    help="Another recording of the same judge: a path, a scenario, or the name of one of SOURCE's recordings.",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The mode file to write; none without it."
)
@click.option("--name", help="Of the mode; the scenario's by default.")
@json_option
def calibrate(source: str, held_out: str | None, output: Path | None, name: str | None, as_json: bool) -> None:
    """Fit a mode to the judge of SOURCE, and measure it on answers that it was not fitted to.

    SOURCE: a scenario id, a trace folder, or a JSONL file of callbacks. All recordings of a scenario are fitted to, and
    --holdout is not. Without it each recording is held out in turn, or parts of a single one.

    \b
    cj-pipeline calibrate first.jsonl --holdout second.jsonl -o mode.yaml
    cj-pipeline parity second.jsonl --mode mode.yaml

    The file says where each number comes from (`origins`) and what was measured (`held_out`). Writing over a mode makes
    its next version. Exits with 1 when the mode foretells what was held out worse than it should, and is written all
    the same; with 3 when nothing could be held out.
    """
    found = find_source(source)
    recordings, held = _sides(found, held_out)
    scenario = found.scenario
    provenance = next(iter(found.provenances), None)
    mode = calibrated(scenario, recordings, held, name=name or _name(found), provenance=provenance)
    if mode is None:
        raise BadInput(
            "no callback here has a winner, so there is no judge to fit.",
            path=found.callbacks.path,
            remedy="Calibrate to a recording with answers in it.",
        )
    if output is not None:
        mode = write_calibrated(mode, output)
    if as_json:
        print_json(_document(mode, output))
    else:
        _show(mode, output)
        if output is not None:
            say_wrapped(f"Next: cj-pipeline parity {held_out or source} --mode {output}")
    sys.exit(_exit_code(mode))


def _name(found: Source) -> str:
    """Return what the mode is called: as the scenario, or as the file."""
    return found.scenario.scenario_id if found.recordings else bare_name(found.callbacks.path)


def _sides(found: Source, held_out: str | None) -> tuple[list[CalibratedFrom], list[CalibratedFrom]]:
    """Return what is fitted to, and what is held out."""
    further = {recording.name: recording for recording in found.recordings[1:]}
    fitted = [_recorded(found.callbacks, found.identity.sha256)]
    fitted += [_read(recording) for name, recording in further.items() if name != held_out]
    if held_out is None:
        return fitted, []
    if held_out in further:
        return fitted, [_read(further[held_out])]
    if not Path(held_out).exists() and further:
        known = did_you_mean(held_out, further)
        raise BadInput("is neither a path nor a recording of the scenario.", path=held_out, remedy=known)
    other = find_source(held_out)
    held = [_recorded(other.callbacks, other.identity.sha256), *(_read(one) for one in other.recordings[1:])]
    if digests := {one.sha256 for one in fitted} & {one.sha256 for one in held}:
        raise BadInput(
            f"is also fitted to (sha256 {min(digests)[:12]}), so it holds nothing out.",
            path=held_out,
            remedy="Give another recording of the same judge, or leave --holdout out.",
        )
    return fitted, held


def _read(recording: Recording) -> CalibratedFrom:
    return _recorded(read_callbacks(recording.path), recording.sha256)


def _recorded(callbacks: CallbackFile, sha256: str) -> CalibratedFrom:
    return CalibratedFrom([line.event.data for line in callbacks.events], sha256)


def _exit_code(mode: Mode) -> int:
    if mode.held_out is None:
        return exit_codes.CANNOT_TELL
    passed = all(row.passed for row in held_out_checks(mode.held_out))
    return exit_codes.PASSED if passed else exit_codes.CHECK_FAILED


def _document(mode: Mode, output: Path | None) -> dict[str, Any]:
    rows = () if mode.held_out is None else held_out_checks(mode.held_out)
    return {
        "mode": mode.name,
        "version": mode.version,
        "sha256": mode.sha256(),
        "file": None if output is None else str(output),
        "description": mode.description,
        "fitted_from": None if mode.fitted_from is None else mode.fitted_from.model_dump(mode="json"),
        "origins": mode.origins,
        "held_out": None if mode.held_out is None else mode.held_out.model_dump(mode="json"),
        "checks": [row.model_dump(mode="json") for row in rows],
    }


def _show(mode: Mode, output: Path | None) -> None:
    where = "not written (-o FILE writes it)" if output is None else f"version {mode.version} in {output}"
    say_wrapped(f"{mode.name}: {where}. {mode.description}", indent="    ")
    click.echo()
    print_table("Where the numbers come from", ("section", "origin"), list(mode.origins.items()))
    held = mode.held_out
    if held is None:
        say_wrapped("Nothing could be held out: there are answers to one pair of essays alone.")
        return
    rows = held_out_checks(held)
    print_table(
        f"Held out: {held.by} ({held.answers} answers)",
        ("check", "verdict", "measured"),
        [(row.name, "pass" if row.passed else "fail", row.sentence) for row in rows],
    )
    if not next(row for row in rows if row.name == "winners_scale").passed:
        say_wrapped(
            "The judge repeats its answers less than judges in general. Fit the mode to both recordings at once, as "
            "those of one scenario."
        )
