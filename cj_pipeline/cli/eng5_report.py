"""This module defines `cj-pipeline eng5 report`: how a run agrees with known grades, from whatever kept it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.output import json_option, print_json, say
from cj_pipeline.foundation import exit_codes

if TYPE_CHECKING:
    from cj_pipeline.eng5.alignment.case import AlignmentCase

DATABASE_VARIABLE = "CJ_ASSESSMENT_SERVICE_DATABASE_URL"

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE] [OTHER]")
@click.option("--cj-batch-id", type=click.IntRange(min=0), help="A batch of a CJ database, by its number there.")
@click.option("--bos-batch-id", help="A batch of a CJ database, by its sender's id.")
@click.option("--database", envvar=DATABASE_VARIABLE, metavar="URL",
              help=f"postgresql://USER@HOST/DATABASE or sqlite:///FILE.  [{DATABASE_VARIABLE}]")  # fmt: skip
@click.option("--live", is_flag=True, help="Put the mock of the scenario SOURCE beside it.")
@click.option("--grades", "grades_file", type=_FILE, help="Table of essay_id and grade, of a trace.")
@click.option("--anchor-dir", type=click.Path(path_type=Path, file_okay=False),
              help="Anchors whose files end in their grades: name_C+.txt.")  # fmt: skip
@click.option("--output-dir", type=click.Path(path_type=Path, file_okay=False), default=Path(), show_default=True)
@click.option("--system-prompt-file", type=_FILE, help="To be shown in the report.")
@click.option("--rubric-file", type=_FILE, help="The same.")
@json_option
def report(
    sources: tuple[str, ...],
    cj_batch_id: int | None,
    bos_batch_id: str | None,
    database: str | None,
    live: bool,
    grades_file: Path | None,
    anchor_dir: Path | None,
    output_dir: Path,
    system_prompt_file: Path | None,
    rubric_file: Path | None,
    as_json: bool,
) -> None:
    """Report how a run agrees with known grades, as Markdown and HTML, short and with every comparison.

    SOURCE is an artefact (.json), a scenario, a trace folder or a file of callbacks; OTHER a second one, shown beside
    it. Or name a batch of a CJ database.

    \b
    cj-pipeline eng5 report data/eng5/assessment_run.anchor-align-test.json
    cj-pipeline eng5 report eng5_anchor_ladder_20251202 --live
    cj-pipeline eng5 report --cj-batch-id 147 --database postgresql://reader@db/cj --anchor-dir anchors/

    Exits with 0 when every target is met, 1 when one is missed, 2 when something cannot be used.
    """
    from cj_pipeline.eng5.alignment.case import has_order
    from cj_pipeline.eng5.alignment.files import write_report
    from cj_pipeline.eng5.alignment.stored import result_document
    from cj_pipeline.eng5.alignment.targets import targets
    from cj_pipeline.eng5.options import text_of
    from cj_pipeline.foundation.clock import utc_now

    cases, names = _cases(sources, cj_batch_id, bos_batch_id, database, anchor_dir, grades_file, live)
    prompts = {"system prompt": system_prompt_file, "rubric": rubric_file}
    if any(prompts.values()):
        texts = {name: None if path is None else text_of(path, name) for name, path in prompts.items()}
        cases = [replace(case, prompts=texts) for case in cases]
    if not any(has_order(case) for case in cases):
        say(
            "warning: no two different grades are known, so no tau is defined. Give --grades or --anchor-dir.", err=True
        )
    database_read = cj_batch_id is not None or bos_batch_id is not None
    written = write_report(cases, output_dir, utc_now(), names=names, database=database_read)
    if as_json:
        print_json(
            {
                "files": [str(path) for path in written.files],
                "sides": [{"name": one.name, **result_document(one.case, one.result)} for one in written.sides],
            }
        )
    else:
        say(written.files[0].read_text(encoding="utf-8").rstrip("\n"))
        for path in written.files:
            say(f"written: {path}")
    missed = any(not target.met for side in written.sides for target in targets(side.result))
    sys.exit(exit_codes.CHECK_FAILED if missed else exit_codes.PASSED)


def _cases(
    sources: tuple[str, ...],
    cj_batch_id: int | None,
    bos_batch_id: str | None,
    database: str | None,
    anchor_dir: Path | None,
    grades_file: Path | None,
    live: bool,
) -> tuple[list[AlignmentCase], list[str]]:
    """Return the runs of the report, and their names where there are two."""
    from cj_pipeline.eng5.alignment.case import case_of_database, graded_by_files

    batch = bos_batch_id if cj_batch_id is None else str(cj_batch_id)
    if (cj_batch_id is not None and bos_batch_id is not None) or bool(sources) is (batch is not None):
        raise click.UsageError("Give SOURCE, --cj-batch-id or --bos-batch-id, one of the three.")
    if batch is not None:
        if live or grades_file is not None:
            raise click.UsageError("--live and --grades go with a trace.")
        if database is None:
            raise click.UsageError(f"Where is the CJ database? Give --database URL, or set {DATABASE_VARIABLE}.")
        return [case_of_database(database, batch, anchor_dir)], []
    if len(sources) > 2:
        raise click.UsageError("A report shows two runs at most.")
    if live and len(sources) == 2:
        raise click.UsageError("--live is the second run; give one SOURCE.")
    cases, names = [_case(name, grades_file) for name in sources], list(sources) if len(sources) == 2 else []
    if live:
        cases, names = [cases[0], _live_case(sources[0], grades_file)], ["recorded", "live"]
    if anchor_dir is not None:
        cases = [graded_by_files(case, anchor_dir) for case in cases]
    return cases, names


def _case(name: str, grades_file: Path | None) -> AlignmentCase:
    from cj_pipeline.cli.sources import find_source
    from cj_pipeline.eng5.alignment.case import case_of_artefact, case_of_record
    from cj_pipeline.runs.record import Side

    if name.endswith(".json"):
        if grades_file is not None:
            raise click.UsageError("--grades goes with a trace; an artefact has its own grades.")
        return case_of_artefact(Path(name))
    found = find_source(name)
    case = case_of_record(found.scenario, found.replayed(Side.RECORDED), found.scenario.scenario_id)
    return _graded(case, found.scenario.net.items, grades_file)


def _live_case(name: str, grades_file: Path | None) -> AlignmentCase:
    from cj_pipeline.cli.sources import find_source
    from cj_pipeline.eng5.alignment.case import case_of_record
    from cj_pipeline.runs.modes import scenario_mode
    from cj_pipeline.runs.scenario_run import run_live

    if name.endswith(".json"):
        raise click.UsageError("--live goes with a scenario, whose mock is asked.")
    found = find_source(name)
    mode = scenario_mode(found.scenario, scenario_file=found.scenario_file)
    case = case_of_record(found.scenario, run_live(found.scenario, found.events, mode), found.scenario.scenario_id)
    return _graded(case, found.scenario.net.items, grades_file)


def _graded(case: AlignmentCase, items: tuple[object, ...], grades_file: Path | None) -> AlignmentCase:
    from cj_pipeline.eng5.grades import read_grades

    return case if grades_file is None else replace(case, grades=read_grades(grades_file, items, case.scale))  # type: ignore[arg-type]
