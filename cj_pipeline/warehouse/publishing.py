"""This module publishes a run: it makes sure that the run is whole, replaces one pointer, adds it to the history."""

from __future__ import annotations

from pathlib import Path

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.warehouse.history import complete_history, enter_history, prepare_history
from cj_pipeline.warehouse.origin import code_version
from cj_pipeline.warehouse.pointers import Pointer, write_pointer
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.schemas import OPTIONAL, PARITY_PART, PARTS, REPORTS


class NotPublished(CjPipelineError):
    """A run that is kept apart, and why: a trial, or one that did not make every part."""


def publish(run: RunFolder, scenario_folder: Path) -> Pointer:
    """Make a run the one that people look at; killed at any moment, it leaves the old one or the new one.

    The run becomes part of the history.

    Raises NotPublished, and BadInput when two parts are made of different answers.
    """
    parts = [(dataset, part) for dataset, names in PARTS.items() for part in names]
    for dataset, part in parts:
        if dataset not in OPTIONAL and not run.has(dataset, part):
            raise NotPublished(f"Not published: run {run.run_id} made no {dataset} ({part}) of '{run.scenario_id}'.")
    parts = [(dataset, part) for dataset, part in parts if run.has(dataset, part)]
    origin = run.origin(*parts)
    if origin.trial:
        raise NotPublished(
            f"Not published: run {run.run_id} is a trial, with another judge, seed, URL or engine setting than "
            f"'{run.scenario_id}' has of its own. It is kept in {run.folder}."
        )
    pointer = Pointer(
        scenario_id=run.scenario_id,
        scenario_folder=str(scenario_folder.absolute()),
        run_id=run.run_id,
        published_at=utc_now(),
        verdict=run.read(REPORTS, PARITY_PART)[0]["verdict"],
        answers=origin.answers,
        code=code_version(),
    )
    complete_history(run.root, run.scenario_id)  # of the run before this one
    prepare_history(run, scenario_folder)
    write_pointer(run.root, pointer)
    enter_history(run.root, run.scenario_id, run.run_id)
    return pointer
