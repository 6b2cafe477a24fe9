"""This module is `cj-pipeline traces import`: a trace of what a team has already, its scores held against a replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

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
from cj_pipeline.runs.new_trace_mode import require_mode_for_pseudonyms
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay
from cj_pipeline.traces.importing.artefact import eng5_artefact
from cj_pipeline.traces.importing.cj_database import cj_database
from cj_pipeline.traces.importing.json_folder import json_folder
from cj_pipeline.traces.importing.source import Source
from cj_pipeline.traces.importing.stored_scores import ScoreAgreement, score_agreement
from cj_pipeline.traces.importing.trace import ImportRequest, ImportResult, import_trace
from cj_pipeline.traces.store import read_trace


@click.command("import")
@click.argument("scenario_id")
@click.option(
    "--from-folder", type=click.Path(path_type=Path), help="Folder of callback JSON: .json, .jsonl, .ndjson, also .gz."
)
@click.option(
    "--from-artefact", type=click.Path(path_type=Path), help="Artefact of an ENG5 run: assessment_run.*.json."
)
@click.option(
    "--from-database", help="URL of a CJ database: postgresql://USER@HOST/DATABASE (PGPASSWORD) or sqlite:///FILE."
)
@click.option("--batch", help="The batch that is meant: its BOS id or, in a database, its number.")
@click.option("--expected-count", type=click.IntRange(min=1), help="How many callbacks the batch has.")
@trace_options
def import_command(
    scenario_id: str,
    from_folder: Path | None,
    from_artefact: Path | None,
    from_database: str | None,
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

    Names of pupils and quotes of essays are taken out unless --no-redact is given. What the source does not hold is
    said field by field in provenance.json, and checks that would look at it are off. More is in docs/import.md.

    \b
    cj-pipeline traces import autumn_pilot --from-folder kept/ --batch 3f2b...
    cj-pipeline traces import autumn_pilot --from-artefact assessment_run.execute.json
    cj-pipeline traces import autumn_pilot --from-database postgresql://reader@db/cj --batch 147

    A batch whose end nobody knows is as far as was seen; --expected-count says how many callbacks it has.

    Exits with 0 when nothing is missing, 3 when the trace is partial, 2 when the input cannot be used.
    """
    redaction = redaction_of(no_redact, justifications, key_file)
    choices = choices_of(like, grades_file, profile, mode)
    if redaction is not None:
        require_mode_for_pseudonyms(choices)
    source = _source(from_folder, from_artefact, from_database, batch)
    request = ImportRequest(
        scenario_id,
        output_folder(output_dir),
        redaction,
        choices,
        bos_batch_id=batch if from_folder is not None else None,
        expected_count=expected_count,
    )
    result = import_trace(request, source)
    try:
        agreement, notes = _scores_again(result), result.remarks
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
        scenario_id=scenario_id,
        folder=result.folder,
        sha256=result.sha256,
        read=result.read,
        counts=result.counts,
        missing=result.missing,
        held_against=result.held_against,
        redaction=redaction_in_words(redaction, result.dropped),
        facts=facts,
        notes=(*notes, *(f"Quarantined: {entry}" for entry in result.quarantined)),
    )
    show_result(shown, "imported", as_json)


def _source(folder: Path | None, artefact: Path | None, database: str | None, batch: str | None) -> Source:
    given = [one for one in (folder, artefact, database) if one is not None]
    if len(given) != 1:
        raise click.UsageError("Give one of --from-folder, --from-artefact and --from-database.")
    if folder is not None:
        return json_folder(folder)
    if database is not None:
        if batch is None:
            raise click.UsageError("--from-database needs --batch.")
        return cj_database(database, batch)
    if batch is not None:
        raise click.UsageError("An artefact holds one batch; leave --batch out.")
    return eng5_artefact(artefact or Path())


def _scores_again(result: ImportResult) -> ScoreAgreement | None:
    """The source's own scores against those of a replay of the trace; None where it has none."""
    if not result.bt_scores:
        return None
    trace = read_trace(result.folder)
    record = replay(
        trace.scenario,
        [recorded.event for recorded in trace.callbacks.events],
        side=Side.RECORDED,
        judge=JudgeIdentity(trace.scenario.scenario_id, trace.sha256),
    )
    return score_agreement(result.bt_scores, {row.essay_id: row.theta for row in record.document.fit.essays})
