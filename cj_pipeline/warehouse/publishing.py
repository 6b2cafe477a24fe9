"""This module publishes a run: it makes sure that the run is whole, replaces one pointer, adds it to the history."""

from __future__ import annotations

from pathlib import Path
from time import sleep

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.foundation.seeding import uniform
from cj_pipeline.warehouse.history import complete_history, enter_history, prepare_history
from cj_pipeline.warehouse.origin import code_version
from cj_pipeline.warehouse.pointers import Pointer, pointer_version, write_pointer
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.schemas import OPTIONAL, PARITY_PART, PARTS, REPORTS


class NotPublished(CjPipelineError):
    """A run that is kept apart, and why: a trial, or one that did not make every part."""


def publish(run: RunFolder, scenario_folder: Path) -> Pointer:
    """Make a run the one that people look at; killed at any moment, it leaves the old one or the new one.

    The run becomes part of the history.

    Raises NotPublished, and BadInput when two parts are made of different answers.
    """
    wanted = [(dataset, part) for dataset, names in PARTS.items() for part in names]
    parts = run.made(wanted)
    for dataset, part in wanted:
        if dataset not in OPTIONAL and (dataset, part) not in parts:
            raise NotPublished(f"Not published: run {run.run_id} made no {dataset} ({part}) of '{run.scenario_id}'.")
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
    prepare_history(run, scenario_folder)
    pointer = _point(run, pointer)
    enter_history(run.root, run.scenario_id, run.run_id)
    return pointer


LONGEST_WAIT_S = 3.0
MOST_ATTEMPTS = 1_000
"""To replace a pointer, each of which fails only because another run was published: fifty at once took up to 50."""


def _point(run: RunFolder, pointer: Pointer) -> Pointer:
    """Replace the pointer by this one, and return it with its time; the later publishes.

    On object storage the swap is refused when another run was published since the look: then that one is taken into the
    history before its pointer is replaced, so that no published run is missing there.
    """
    for attempt in range(MOST_ATTEMPTS):
        version = pointer_version(run.root, run.scenario_id)
        complete_history(run.root, run.scenario_id)  # of the run before this one
        dated = pointer.model_copy(update={"published_at": utc_now()})
        if write_pointer(run.root, dated, version):
            return dated
        # Each run waits for times of its own, and longer as more of them turn out to be at it.
        sleep(uniform("publish", run.run_id, attempt) * min(0.05 * 2**attempt, LONGEST_WAIT_S))
    raise CjPipelineError(
        f"Run {run.run_id} of '{run.scenario_id}' was not published: its pointer was replaced by others "
        f"{MOST_ATTEMPTS} times. Publish it again."
    )
