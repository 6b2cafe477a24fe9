"""This module is `cj-pipeline calibrate`: a mode fitted to recordings, and how well it foretells what was held out."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cj_pipeline.cli.output import json_option, print_json, print_table, say, say_wrapped
from cj_pipeline.cli.scenario_names import scenario_folder
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from cj_pipeline.mock.mode.mode import Mode
    from cj_pipeline.runs.calibration import CalibratedFrom, Subject
    from cj_pipeline.traces.provenance import Provenance


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
    the same; with 3 when too little could be held out.
    """
    from cj_pipeline.runs.calibration import calibrated, write_calibrated
    from cj_pipeline.traces.store import MAIN

    found = _found(source)
    fitted, held = _sides(found, held_out)
    mode = calibrated(found.subject, fitted, held, name=name, provenance=found.provenance)
    if mode is None:
        raise BadInput(
            "no callback here has a winner, so there is no judge to fit.",
            path=found.paths[MAIN],
            remedy="Calibrate to a recording with answers in it.",
        )
    for one in (*fitted, *held):
        if one.unusable:
            say(f"recording {one.sha256[:12]}: {one.unusable} lines are no callbacks, and left out", err=True)
    if output is not None:
        mode = write_calibrated(mode, output)
    if as_json:
        print_json(_document(mode, output))
    else:
        _show(mode, output)
        if output is not None:
            say_wrapped(f"Next: cj-pipeline parity {held_out or source} --mode {output}")
    sys.exit(_exit_code(mode))


@dataclass(frozen=True, slots=True)
class _Found:
    """What an argument names. paths: of its recordings by name, the main one first."""

    subject: Subject
    paths: Mapping[str, Path]
    provenance: Provenance | None = None


def _found(name: str) -> _Found:
    from cj_pipeline.foundation.json_lines import bare_name
    from cj_pipeline.runs.calibration import Subject, subject_of
    from cj_pipeline.traces.store import MAIN, trace_recordings

    path = Path(name)
    if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for a name that no file system takes
        return _Found(Subject(bare_name(path)), {MAIN: path})
    scenario, recordings = trace_recordings(scenario_folder(name))
    paths = {recording.name: recording.path for recording in recordings}
    return _Found(subject_of(scenario), paths, recordings[0].provenance)


def _sides(found: _Found, held_out: str | None) -> tuple[list[CalibratedFrom], list[CalibratedFrom]]:
    """Return what is fitted to, and what is held out."""
    from cj_pipeline.runs.calibration import recording_of
    from cj_pipeline.traces.store import MAIN

    fitted = [recording_of(path) for name, path in found.paths.items() if name == MAIN or name != held_out]
    if held_out is None:
        return fitted, []
    further = {name: path for name, path in found.paths.items() if name != MAIN}
    if held_out in further:
        return fitted, [recording_of(further[held_out])]
    if further and not os.path.exists(held_out):  # noqa: PTH110
        known = did_you_mean(held_out, further)
        raise BadInput("is neither a path nor a recording of the scenario.", path=held_out, remedy=known)
    held = [recording_of(path) for path in _found(held_out).paths.values()]
    if digests := {one.sha256 for one in fitted} & {one.sha256 for one in held}:
        raise BadInput(
            f"is also fitted to (sha256 {min(digests)[:12]}), so it holds nothing out.",
            path=held_out,
            remedy="Give another recording of the same judge, or leave --holdout out.",
        )
    return fitted, held


def _exit_code(mode: Mode) -> int:
    from cj_pipeline.mock.mode.held_out import held_out_checks

    if mode.held_out is None:
        return exit_codes.CANNOT_TELL
    passed = all(row.passed for row in held_out_checks(mode.held_out))
    return exit_codes.PASSED if passed else exit_codes.CHECK_FAILED


def _document(mode: Mode, output: Path | None) -> dict[str, Any]:
    from cj_pipeline.mock.mode.held_out import held_out_checks
    from cj_pipeline.mock.model.held_out import TOO_LITTLE

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
        "reason": TOO_LITTLE if mode.held_out is None else None,
        "checks": [row.model_dump(mode="json") for row in rows],
    }


def _show(mode: Mode, output: Path | None) -> None:
    from cj_pipeline.mock.mode.held_out import held_out_checks
    from cj_pipeline.mock.model.held_out import TOO_LITTLE

    where = "not written (-o FILE writes it)" if output is None else f"version {mode.version} in {output}"
    say_wrapped(f"{mode.name}: {where}. {mode.description}", indent="    ")
    click.echo()
    print_table("Where the numbers come from", ("section", "origin"), list(mode.origins.items()))
    held = mode.held_out
    if held is None:
        say_wrapped(TOO_LITTLE)
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
