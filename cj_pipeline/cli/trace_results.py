"""This module holds what the commands that make a trace share: their options, and how their result is shown.

A result shows counts, digests and file names. It never shows an essay id, a justification or a key.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cj_pipeline.cli.output import json_option, print_json, print_table
from cj_pipeline.foundation import exit_codes
from cj_pipeline.traces.redaction_policy import Justifications
from cj_pipeline.traces.scenario import Profile

if TYPE_CHECKING:
    from cj_pipeline.traces.captured_scenario import ScenarioChoices
    from cj_pipeline.traces.redaction.redaction import Redaction

Command = TypeVar("Command", bound=Callable[..., Any])

JUSTIFICATIONS = tuple(choice.value for choice in Justifications)

_REDACTION_DETAILS = (
    click.option(
        "--justifications",
        type=click.Choice(JUSTIFICATIONS),
        default=JUSTIFICATIONS[0],
        show_default=True,
        help="What becomes of the judge's sentences, which quote essays.",
    ),
    click.option(
        "--key",
        "key_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File of the key that pseudonyms are made with; made when it is not there.  "
        "[default: CJ_PIPELINE_REDACTION_KEY_FILE, or a file in the data directory]",
    ),
)

_REDACTION_OPTIONS = (
    click.option("--no-redact", is_flag=True, help="Keep essay ids, justifications and metadata as they came."),
    *_REDACTION_DETAILS,
)

_SCENARIO_OPTIONS = (
    click.option("--like", help="Scenario whose net, engine, service, tolerances and mode the new one takes over."),
    click.option(
        "--grades",
        "grades_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="CSV of known grades: essay_id, grade[, label].",
    ),
    click.option(
        "--profile",
        type=click.Choice([profile.value for profile in Profile]),
        help="Whose floor tolerances apply.  [default: that of --like, or judge]",
    ),
    click.option(
        "--mode", help="Mode of the mock on the live side.  [default: that of --like, or one fitted to the callbacks]"
    ),
    click.option(
        "--output-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder that the trace's own folder is made in.  [default: CJ_PIPELINE_TRACES_DIR, or traces]",
    ),
)


def trace_options(command: Command) -> Command:
    """Add --like, --grades, --profile, --mode, --output-dir, --no-redact, --justifications, --key and --json.

    They arrive as like, grades_file, profile, mode, output_dir, no_redact, justifications, key_file and as_json.
    """
    return _with(command, *_SCENARIO_OPTIONS, *_REDACTION_OPTIONS, json_option)


def redaction_options(command: Command) -> Command:
    """Add --no-redact, --justifications and --key; they arrive as no_redact, justifications and key_file."""
    return _with(command, *_REDACTION_OPTIONS)


def redaction_detail_options(command: Command) -> Command:
    """Add --justifications and --key; they arrive as justifications and key_file."""
    return _with(command, *_REDACTION_DETAILS)


def _with(command: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def redaction_of(
    no_redact: bool,
    justifications: str,
    key_file: Path | None,
    public_models: tuple[str, ...] = (),
) -> Redaction | None:
    """Return the redaction asked for; None for none. Raises BadInput.

    public_models: names of models that stay.
    """
    return None if no_redact else redaction_under(justifications, key_file, public_models)


def redaction_under(
    justifications: str,
    key_file: Path | None,
    public_models: tuple[str, ...] = (),
    allowed_keys: tuple[str, ...] = (),
) -> Redaction:
    """Return a redaction, of which redaction_of says more. allowed_keys: of metadata, that stay."""
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.traces.redaction.key import default_key_file, key_when_used
    from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
    from cj_pipeline.traces.redaction.redaction import Redaction
    from cj_pipeline.traces.redaction_policy import RedactionPolicy

    path = default_key_file(PipelineSettings().data_dir) if key_file is None else key_file
    policy = RedactionPolicy(justifications=Justifications(justifications), allowed_keys=allowed_keys)
    return Redaction(policy, Pseudonyms(key_when_used(path)), frozenset(public_models))


def redaction_in_words(redaction: Redaction | None, dropped: Mapping[str, int]) -> str:
    """Say what was done, for the result. dropped: what went, by kind."""
    if redaction is None:
        return "none; essay ids and texts are as they came"
    gone = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in dropped.items() if count) or "nothing else"
    verb = {"drop": "dropped", "hash": "hashed", "keep": "kept"}[redaction.policy.justifications.value]
    return f"pseudonyms under key {redaction.pseudonyms.key_id}, justifications {verb}; gone: {gone}"


def choices_of(like: str | None, grades_file: Path | None, profile: str | None, mode: str | None) -> ScenarioChoices:
    """Return what the options say of the scenario. like: a scenario's id or its folder."""
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.runs.new_trace_mode import fitted_mode_text
    from cj_pipeline.traces.captured_scenario import ScenarioChoices

    folder = None if like is None else Path(like)
    if folder is not None and not folder.is_dir():
        folder = PipelineSettings().traces_dir / str(like)
    return ScenarioChoices(
        like=folder,
        grades_file=grades_file,
        profile=None if profile is None else Profile(profile),
        mode=mode,
        fit_mode=fitted_mode_text,
    )


def output_folder(given: Path | None) -> Path:
    """Return the folder that new traces are made in."""
    from cj_pipeline.foundation.settings import PipelineSettings

    return PipelineSettings().traces_dir if given is None else given


@dataclass(frozen=True, slots=True)
class TraceResult:
    """The outcome of making a trace.

    counts: messages by what became of them, in the order in which they are shown; their sum is `read`.
    missing: what was asked for and is not in the trace, a sentence each; the trace is partial when there is any.
    held_against: the end that makes it whole; None where none is known.
    redaction: in words, or the statement that there was none. facts: anything else worth a line, by name.
    notes: sentences below the table. next_command: to run now; None for parity of the new trace.
    """

    scenario_id: str
    folder: Path
    sha256: str
    read: int
    counts: Mapping[str, int]
    missing: tuple[str, ...]
    held_against: str | None
    redaction: str
    facts: Mapping[str, str | int | float | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    next_command: str | None = None

    @property
    def partial(self) -> bool:
        """Return whether something that was asked for is not there."""
        return bool(self.missing)


def show_result(result: TraceResult, verb: str, as_json: bool) -> None:
    """Print a result and end the program with 3 where it is partial. verb: `captured`, `imported`."""
    from cj_pipeline.runs.new_trace_mode import fitted_mode_notes

    notes = (*result.notes, *fitted_mode_notes(result.folder))
    if as_json:
        print_json(
            {
                "scenario_id": result.scenario_id,
                "folder": str(result.folder),
                "sha256": result.sha256,
                "partial": result.partial,
                "missing": list(result.missing),
                "held_against": result.held_against,
                "read": result.read,
                "counts": dict(result.counts),
                "redaction": result.redaction,
                **result.facts,
                "notes": list(notes),
            }
        )
    else:
        _show_tables(result, notes, verb)
    if result.partial:
        sys.exit(exit_codes.CANNOT_TELL)


def _show_tables(result: TraceResult, notes: Sequence[str], verb: str) -> None:
    from cj_pipeline.traces.completeness import completeness_in_words

    rows: list[tuple[str, int]] = [(name.replace("_", " "), number) for name, number in result.counts.items()]
    print_table(f"{result.scenario_id}: {verb}", ("what became of it", "messages"), [*rows, ("read", result.read)])
    if result.facts:
        print_table("About it", ("what", "value"), [[name, value] for name, value in result.facts.items()])
    click.echo(f"{result.folder} ({result.sha256})")
    click.echo(f"Redaction: {result.redaction}")
    for note in notes:
        click.echo(note)
    click.echo(completeness_in_words(result.missing, result.held_against))
    if not result.partial:
        click.echo(f"Next: {result.next_command or f'cj-pipeline parity {result.folder}'}")
