"""This module defines what `cj-pipeline eng5` shows of a deployed batch: instructions, state, places of essays."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cj_pipeline.cli.database_option import database_of, database_option
from cj_pipeline.cli.eng5_cases import CaseOptions, batch_options, cases_of
from cj_pipeline.cli.finite import FiniteRange
from cj_pipeline.cli.output import json_option, print_json, print_table, say, say_wrapped
from cj_pipeline.foundation import exit_codes

if TYPE_CHECKING:
    from cj_pipeline.eng5.diagnostics.positions import Positions


@click.command()
@click.option("--anchors", "assignment", metavar="ASSIGNMENT", help="List the anchors of this assignment instead.")
@database_option
@json_option
def instructions(assignment: str | None, database: str | None, as_json: bool) -> None:
    """List the newest 20 instructions of a CJ database, or the anchors of an assignment, with commands to copy.

    What keeps `eng5 execute` from taking an assignment is in the last column. `cj-pipeline cj admin instructions list`
    asks the service itself.
    """
    from cj_pipeline.eng5.diagnostics.assignments import anchors_of, assignments, hints

    url = database_of(database)
    if assignment is not None:
        anchors = anchors_of(url, assignment)
        if as_json:
            print_json({"assignment_id": assignment, "total": len(anchors), "anchors": anchors})
            return
        columns = ("grade", "anchor_label", "grade_scale", "text_storage_id")
        print_table(f"Anchors of {assignment}", columns, [[row[name] for name in columns] for row in anchors])
        say(f"{len(anchors)} anchors")
        return
    listed = assignments(url)
    commands = hints(listed)
    if as_json:
        print_json({"instructions": [asdict(one) | {"missing": list(one.missing)} for one in listed],
                    "hints": commands})  # fmt: skip
        return
    rows = [
        (one.assignment_id or f"course {one.course_id}", one.grade_scale, one.student_prompt_storage_id,
         one.judge_rubric_storage_id, one.anchors, one.created_at, ", ".join(one.missing))
        for one in listed
    ]  # fmt: skip
    print_table("Instructions", ("assignment", "scale", "prompt", "rubric", "anchors", "created", "lacks"), rows)
    say("To copy:")
    for command in commands:
        say(f"    {command}")


@click.command("batch-state")
@click.argument("batch", metavar="ID")
@database_option
@json_option
def batch_state(batch: str, database: str | None, as_json: bool) -> None:
    """Show how batch ID of a CJ database is: status, batching, counters, standard errors, and what to look at."""
    from cj_pipeline.eng5.diagnostics.state import batch_report
    from cj_pipeline.traces.importing.cj_database import cj_rows

    report = batch_report(cj_rows(database_of(database), batch))
    if as_json:
        print_json(report)
        return
    rows = [
        (section, name, _shown(value))
        for section, values in report.items()
        if isinstance(values, Mapping)
        for name, value in values.items()
    ]
    print_table(f"Batch {report['batch']['id']}: {report['batch']['bos_batch_id']}", ("part", "what", "value"), rows)
    if report["flags_that_no_judge_could_avoid"]:
        say_wrapped("bt_se_inflated would be raised on this net whatever the judge had said: too few comparisons.")
    for problem in report["problems"]:
        say_wrapped(f"note: {problem}")


def _shown(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else value


@click.command("positions")
@click.argument("sources", nargs=-1, metavar="[SOURCE]")
@batch_options
@database_option
@click.option("--anchor-dir", type=click.Path(path_type=Path, file_okay=False),
              help="Anchors, for a batch whose rows do not know them.")  # fmt: skip
@click.option("--max-skew", type=FiniteRange(0.0, 1.0), metavar="SHARE",
              help="Exit with 1 where an essay was shown more unevenly: .2 is usual, .1 in a small net.")  # fmt: skip
@json_option
def positions_command(
    sources: tuple[str, ...],
    cj_batch_id: int | None,
    bos_batch_id: str | None,
    database: str | None,
    anchor_dir: Path | None,
    max_skew: float | None,
    as_json: bool,
) -> None:
    """Report how often each essay was shown first (A) and second (B), and what that did: anchors against students.

    SOURCE is an artefact (.json), a scenario, a trace folder or a file of callbacks; or name a batch of a CJ database.
    Skew is |A - B| / (A + B).

    \b
    cj-pipeline eng5 positions data/eng5/assessment_run.execute.json
    cj-pipeline eng5 positions --cj-batch-id 147 --max-skew .2
    """
    from cj_pipeline.eng5.diagnostics.positions import positions, positions_document

    if len(sources) > 1:
        raise click.UsageError("The report is about one run.")
    (case,), _ = cases_of(sources, CaseOptions(cj_batch_id, bos_batch_id, database, anchor_dir))
    found = positions(case)
    if as_json:
        print_json(positions_document(found))
    else:
        _show_positions(found, case.source)
    worst = found.worst
    too_much = max_skew is not None and worst is not None and worst.places.skew > max_skew + 1e-9
    if too_much and not as_json and worst is not None:
        say_wrapped(f"{worst.label} was shown more unevenly than {max_skew:g}: {worst.places.skew:.3f}.")
    sys.exit(exit_codes.CHECK_FAILED if too_much else exit_codes.PASSED)


def _show_positions(found: Positions, source: str) -> None:
    columns = ("essay", "", "as A", "as B", "skew", "won as A", "won as B")
    rows: list[tuple[Any, ...]] = [
        (one.label, "anchor" if one.anchor else "student", one.places.as_a, one.places.as_b,
         f"{one.places.skew:.3f}", one.places.won_as_a, one.places.won_as_b)
        for one in found.essays
    ]  # fmt: skip
    print_table(f"Places in {source}", columns, rows)
    groups = [
        (group.kind, group.shown, group.first_won.in_words(),
         "-" if group.anchor_first is None else group.anchor_first.in_words())
        for group in found.groups
    ]  # fmt: skip
    print_table("By kind of pair (95 % intervals)", ("pair", "shown", "A won", "anchor was A"), groups)
    say(f"{found.repeated} pairs were shown more than once, {found.one_order} of them always in one order.")
