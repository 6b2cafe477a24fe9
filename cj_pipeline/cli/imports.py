"""This module is `cj-pipeline traces import`: a trace of what a team has already, its scores held against a replay."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cj_pipeline.cli.scenario_names import scenario_folder
from cj_pipeline.cli.trace_results import (
    TraceResult,
    choices_of,
    output_folder,
    redaction_in_words,
    redaction_of,
    show_result,
    trace_options,
)
from cj_pipeline.foundation.errors import CjPipelineError

if TYPE_CHECKING:
    from cj_pipeline.traces.further_recording import RecordingPlace
    from cj_pipeline.traces.importing.source import Source
    from cj_pipeline.traces.importing.stored_scores import ScoreAgreement
    from cj_pipeline.traces.importing.trace import ImportResult
    from cj_pipeline.traces.writing import WrittenTrace


@click.command("import")
@click.argument("scenario_id", required=False)
@click.option("--into", metavar="SCENARIO", help="Add a recording to this scenario (an id or a folder) instead.")
@click.option(
    "--recording", metavar="NAME", help="What the added recording is called.  [default: recording_2, _3, ...]"
)
@click.option(
    "--from-folder", type=click.Path(path_type=Path), help="Folder of callback JSON: .json, .jsonl, .ndjson, also .gz."
)
@click.option(
    "--from-artefact", type=click.Path(path_type=Path), help="Artefact of an ENG5 run: assessment_run.*.json."
)
@click.option(
    "--from-database", help="URL of a CJ database: postgresql://USER@HOST/DATABASE (PGPASSWORD) or sqlite:///FILE."
)
@click.option(
    "--from-trace", type=click.Path(path_type=Path), help="Trace folder, as captured or imported; with --into."
)
@click.option("--batch", help="The batch that is meant: its BOS id or, in a database, its number.")
@click.option("--expected-count", type=click.IntRange(min=1), help="How many callbacks the batch has.")
@trace_options
def import_command(
    scenario_id: str | None,
    into: str | None,
    recording: str | None,
    from_folder: Path | None,
    from_artefact: Path | None,
    from_database: str | None,
    from_trace: Path | None,
    batch: str | None,
    expected_count: int | None,
    like: str | None,
    grades_file: Path | None,
    profile: str | None,
    mode: str | None,
    output_dir: Path | None,
    no_redact: bool,
    justifications: str,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Make the trace SCENARIO_ID of a folder of callbacks, an ENG5 artefact, or a batch in a CJ database.

    With --into, what is imported becomes a further recording of a scenario: the same judge, asked again over the same
    essays. Parity then judges by all of them, and `parity SCENARIO --between` compares them with each other.

    Names of pupils and quotes of essays are taken out unless --no-redact is given. What the source does not hold is
    said field by field in provenance.json, and checks that would look at it are off. More is in docs/import.md.

    \b
    cj-pipeline traces import autumn_pilot --from-folder kept/ --batch 3f2b...
    cj-pipeline traces import autumn_pilot --from-artefact assessment_run.execute.json
    cj-pipeline traces import autumn_pilot --from-database postgresql://reader@db/cj --batch 147
    cj-pipeline traces import --into autumn_pilot --from-folder asked_again/

    A batch whose end nobody knows is as far as was seen; --expected-count says how many callbacks it has.

    Exits with 0 when nothing is missing, 3 when the trace is partial, 2 when the input cannot be used.
    """
    from cj_pipeline.runs.new_trace_mode import require_mode_for_pseudonyms
    from cj_pipeline.traces.further_recording import copy_recording, place_for_recording
    from cj_pipeline.traces.importing.trace import ImportRequest, import_trace

    if (scenario_id is None) == (into is None):
        raise click.UsageError("Give SCENARIO_ID, or --into SCENARIO to add a recording to one.")
    if into is None and (recording is not None or from_trace is not None):
        raise click.UsageError("--recording and --from-trace go with --into.")
    place = None
    if into is not None:
        _refuse_choices_of_a_scenario()
        place = place_for_recording(scenario_folder(into), recording)
        scenario_id = place.scenario.scenario_id
    if place is not None and from_trace is not None:
        _refuse_with_trace()
        _show_copy(place, copy_recording(place, from_trace), as_json)
        return
    redaction = redaction_of(no_redact, justifications, key_file)
    choices = choices_of(like, grades_file, profile, mode)
    if redaction is not None:
        require_mode_for_pseudonyms(choices)
    source = _source(from_folder, from_artefact, from_database, batch)
    request = ImportRequest(
        str(scenario_id),
        output_folder(output_dir) if place is None else place.folder.parent,
        redaction,
        choices,
        bos_batch_id=batch if from_folder is not None else None,
        expected_count=expected_count,
        into=place,
    )
    result = import_trace(request, source)
    try:
        agreement, notes = _scores_again(result, place), result.remarks
    except CjPipelineError as error:
        # The trace is made; only the kind of what went wrong is named, since the text may name essays.
        agreement, notes = None, (*result.remarks, f"Its scores could not be compared ({type(error).__name__}).")
    facts: dict[str, Any] = {"source": source.kind, "unanswered": result.unanswered}
    if agreement is not None:
        facts |= {
            "stored_scores": agreement.essays,
            "score_correlation": agreement.correlation,
            "score_largest_difference_logits": agreement.largest_difference,
        }
    shown = TraceResult(
        scenario_id=request.scenario_id if place is None else f"{request.scenario_id}, recording {place.name}",
        folder=result.folder,
        sha256=result.sha256,
        read=result.read,
        counts=result.counts,
        missing=result.missing,
        held_against=result.held_against,
        redaction=redaction_in_words(redaction, result.dropped),
        facts=facts,
        notes=(
            *notes,
            *(f"Quarantined: {entry}" for entry in result.quarantined),
            *_other_judges(place, result.folder),
        ),
        next_command=None if place is None else _between(place),
    )
    show_result(shown, "imported" if place is None else "added", as_json)


def _between(place: RecordingPlace) -> str:
    return f"cj-pipeline parity {place.folder} --between"


def _other_judges(place: RecordingPlace | None, folder: Path) -> tuple[str, ...]:
    """Warn where answers of an added recording are of a judge that the main recording does not have."""
    from cj_pipeline.traces.reader import read_results
    from cj_pipeline.traces.store import CALLBACKS_FILE

    if place is None:
        return ()
    here, added = (
        {f"{data.provider.value} {data.model}" for _, data in read_results(path, lambda _: None) if data.winner}
        for path in (place.recordings[0].path, folder / CALLBACKS_FILE)
    )
    if not here or not (others := sorted(added - here)):
        return ()
    return (
        f"Warning: it has answers of {', '.join(others)}, and the main recording of {', '.join(sorted(here))}. The "
        "recordings of a scenario are of one judge: import another one as a scenario of its own.",
    )


def _given(names: Iterable[str]) -> list[str]:
    """Return the options that were given, as people write them."""
    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    return [f"--{name.replace('_', '-')}" for name in names if context.get_parameter_source(name) is not default]


def _refuse_choices_of_a_scenario() -> None:
    if given := _given(("like", "grades_file", "profile", "mode", "output_dir")):
        raise click.UsageError(f"{given[0].removesuffix('-file')} is about a new scenario, and --into adds to one.")


def _refuse_with_trace() -> None:
    others = ("from_folder", "from_artefact", "from_database", "batch", "expected_count", "no_redact", "justifications")
    if given := _given((*others, "key_file")):
        raise click.UsageError(f"--from-trace takes a recording as it is; leave {given[0]} out.")


def _show_copy(place: RecordingPlace, made: WrittenTrace, as_json: bool) -> None:
    from cj_pipeline.parity.origin import missing_parts

    missing = missing_parts([made.provenance])
    shown = TraceResult(
        scenario_id=f"{place.scenario.scenario_id}, recording {place.name}",
        folder=made.folder,
        sha256=made.sha256,
        read=made.lines.count,
        counts={"taken": made.lines.count},
        missing=missing,
        held_against=next((section.held_against for section in made.provenance.sections), None),
        redaction="as in the trace that it was copied from",
        notes=_other_judges(place, made.folder),
        next_command=_between(place),
    )
    show_result(shown, "added", as_json)


def _source(folder: Path | None, artefact: Path | None, database: str | None, batch: str | None) -> Source:
    from cj_pipeline.traces.importing.artefact import eng5_artefact
    from cj_pipeline.traces.importing.cj_database import cj_database
    from cj_pipeline.traces.importing.json_folder import json_folder

    given = [one for one in (folder, artefact, database) if one is not None]
    if len(given) != 1:
        also = "" if click.get_current_context().params.get("into") is None else " Or --from-trace."
        raise click.UsageError(f"Give one of --from-folder, --from-artefact and --from-database.{also}")
    if folder is not None:
        return json_folder(folder)
    if database is not None:
        if batch is None:
            raise click.UsageError("--from-database needs --batch.")
        return cj_database(database, batch)
    if batch is not None:
        raise click.UsageError("An artefact holds one batch; leave --batch out.")
    return eng5_artefact(artefact or Path())


def _scores_again(result: ImportResult, place: RecordingPlace | None) -> ScoreAgreement | None:
    """Compare the source's own scores with those of a replay of the recording; None where it has none."""
    from cj_pipeline.runs.record import Side
    from cj_pipeline.runs.recorded_answers import answer_columns
    from cj_pipeline.runs.scenario_run import JudgeIdentity, replay_columns
    from cj_pipeline.traces.importing.stored_scores import score_agreement
    from cj_pipeline.traces.reader import read_results
    from cj_pipeline.traces.scenario import SCENARIO_FILE, read_scenario
    from cj_pipeline.traces.store import CALLBACKS_FILE

    if not result.bt_scores:
        return None
    scenario = read_scenario(result.folder / SCENARIO_FILE) if place is None else place.scenario
    callbacks = (data for _, data in read_results(result.folder / CALLBACKS_FILE, lambda _: None))
    judge = JudgeIdentity(scenario.scenario_id, result.sha256)
    document, _ = replay_columns(scenario, answer_columns(callbacks), side=Side.RECORDED, judge=judge)
    return score_agreement(result.bt_scores, {row.essay_id: row.theta for row in document.fit.essays})
