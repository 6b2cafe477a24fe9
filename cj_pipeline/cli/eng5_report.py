"""This module defines `cj-pipeline eng5 report`: how a run agrees with known grades, from whatever kept it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from cj_pipeline.cli.database_option import database_option
from cj_pipeline.cli.eng5_cases import CaseOptions, batch_options, cases_of
from cj_pipeline.cli.output import json_option, print_json, say
from cj_pipeline.foundation import exit_codes

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE] [OTHER]")
@batch_options
@database_option
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

    cases, names = cases_of(sources, CaseOptions(cj_batch_id, bos_batch_id, database, anchor_dir, grades_file, live))
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
