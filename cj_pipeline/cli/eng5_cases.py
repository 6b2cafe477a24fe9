"""This module finds the run that an alignment or position report is about: an artefact, a trace, a database's batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cj_pipeline.cli.database_option import database_of

if TYPE_CHECKING:
    from cj_pipeline.eng5.alignment.case import AlignmentCase


@dataclass(frozen=True, slots=True)
class CaseOptions:
    """What was given beside the sources."""

    cj_batch_id: int | None
    bos_batch_id: str | None
    database: str | None
    anchor_dir: Path | None = None
    grades_file: Path | None = None
    live: bool = False

    @property
    def batch(self) -> str | None:
        """The batch of a database, by whichever of its ids was given; None for none."""
        return self.bos_batch_id if self.cj_batch_id is None else str(self.cj_batch_id)


def batch_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a batch of a CJ database."""
    for option in (
        click.option("--bos-batch-id", help="A batch of a CJ database, by its sender's id."),
        click.option("--cj-batch-id", type=click.IntRange(min=0), help="The same, by its number there."),
    ):
        function = option(function)
    return function


def cases_of(sources: tuple[str, ...], given: CaseOptions) -> tuple[list[AlignmentCase], list[str]]:
    """Return the runs of a report, and their names where there are two. Raises click.UsageError, BadInput."""
    from cj_pipeline.eng5.alignment.case import case_of_database, graded_by_files

    batch, live, grades_file, anchor_dir = given.batch, given.live, given.grades_file, given.anchor_dir
    if (given.cj_batch_id is not None and given.bos_batch_id is not None) or bool(sources) is (batch is not None):
        raise click.UsageError("Give SOURCE, --cj-batch-id or --bos-batch-id, one of the three.")
    if batch is not None:
        if live or grades_file is not None:
            raise click.UsageError("--live and --grades go with a trace.")
        return [case_of_database(database_of(given.database), batch, anchor_dir)], []
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
