"""This module plans what is asked beside a recording that is there: a further run of it, or what it asked least."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.engine.state import PlannedPair
from cj_pipeline.engine.waves.plan import Plan, plan_of
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.calibration import calibrated, recording_of, subject_of, write_calibrated
from cj_pipeline.runs.recording.design import all_pairs, first_of
from cj_pipeline.runs.recording.draft import RunDraft, draft_folder, forget, run_file
from cj_pipeline.traces.reader import read_callbacks
from cj_pipeline.traces.recording_provenance import AS_IN_THE_FIRST_RUN, ASKED_LEAST, PairsInWords
from cj_pipeline.traces.scenario import MODE_FILE
from cj_pipeline.traces.store import Recording, trace_recordings

if TYPE_CHECKING:
    from cj_pipeline.mock.mode.mode import Mode
    from cj_pipeline.runs.recording.request import RecordingRequest
    from cj_pipeline.traces.scenario import Scenario

Order = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Addition:
    """One further run. number: from 2; name: of its recording; pairs: how they were chosen, in words."""

    number: int
    name: str
    plan: Plan
    pairs: PairsInWords

    @property
    def comparisons(self) -> int:
        """How many it asks."""
        return sum(map(len, self.plan))

    @property
    def digest(self) -> str:
        """Return what another session has to ask as well, to go on with it."""
        pairs = [[(pair.essay_a, pair.essay_b) for pair in wave] for wave in self.plan]
        return sha256(json.dumps([self.name, pairs]).encode()).hexdigest()


def full_runs(folder: Path) -> int:
    """Return how many runs of the whole design a recorded trace has."""
    _, recordings = trace_recordings(folder)
    designs = [one.provenance.recorded.design for one in recordings if one.provenance.recorded is not None]
    return sum(design.pairs != ASKED_LEAST for design in designs)


def with_further_run(request: RecordingRequest) -> RecordingRequest:
    """Return the request for one more run of what the first run was asked. Raises BadInput as trace_recordings does."""
    _, recordings = trace_recordings(request.target)
    plan = _plans(request, recordings)[0]
    return _adding(request, recordings, plan, AS_IN_THE_FIRST_RUN)


def with_more(request: RecordingRequest, comparisons: int) -> RecordingRequest:
    """Return the request for so many more comparisons.

    While there is one run, those that it asked: nobody knows yet whether the judge repeats its answers. Later those
    orders of two essays that were asked least often, each essay as often as any other.
    """
    _, recordings = trace_recordings(request.target)
    plans = _plans(request, recordings)
    if len(plans) == 1:
        first = first_of(plans[0], comparisons)
        rest = comparisons - sum(map(len, first))
        plan = first + asked_least([*plans, first], request.essays.texts, request.seed, rest)
    else:
        plan = asked_least(plans, request.essays.texts, request.seed, comparisons)
    return _adding(request, recordings, plan, ASKED_LEAST)


def asked_least(plans: Sequence[Plan], texts: Mapping[str, str], seed: int, comparisons: int) -> Plan:
    """Return so many comparisons of those that plans ask least often, wave by wave.

    >>> once = all_pairs(["a", "b", "c", "d"], 1)
    >>> again = asked_least([once], dict.fromkeys("abcd", ""), 1, 6)
    >>> {(pair.essay_b, pair.essay_a) for wave in once for pair in wave} == {
    ...     (pair.essay_a, pair.essay_b) for wave in again for pair in wave
    ... }
    True
    """
    asked: Counter[Order] = Counter((pair.essay_a, pair.essay_b) for plan in plans for wave in plan for pair in wave)
    design = all_pairs(list(texts), seed, both_orders=True)
    chosen: list[tuple[PlannedPair, ...]] = []
    while comparisons > 0:
        least = min(asked[(pair.essay_a, pair.essay_b)] for wave in design for pair in wave)
        for wave in design:
            new = tuple(pair for pair in wave if asked[(pair.essay_a, pair.essay_b)] == least)[:comparisons]
            asked.update((pair.essay_a, pair.essay_b) for pair in new)
            comparisons -= len(new)
            chosen += [new] if new else []
    return tuple(chosen)


def was_added(request: RecordingRequest) -> bool:
    """Return whether an unfinished addition is a recording already, since its process died between the two.

    Removes what it left behind.
    """
    file = run_file(draft_folder(request.target), 1)
    if not file.exists():
        return False
    draft = RunDraft(file, request.redaction)
    try:
        digest = sha256(b"".join(line + b"\n" for line in draft.lines())).hexdigest()
    finally:
        draft.close()
    _, recordings = trace_recordings(request.target)
    added = any(one.sha256 == digest for one in recordings)
    if added:
        forget(request.target)
    return added


def refit(folder: Path, before: Sequence[Recording]) -> str | None:
    """Fit the mode of a recorded trace to all its recordings. before: those that it was fitted to.

    Returns why the mode was left as it is; None where it was fitted, or where the scenario has another one. A mode
    that somebody edited is theirs.
    """
    scenario, recordings = trace_recordings(folder)
    path = folder / MODE_FILE
    if scenario.mode != MODE_FILE or not path.is_file():
        return None
    command = f"cj-pipeline calibrate {folder} -o {path}"
    try:
        unedited = _numbers(_fitted(scenario, before)) == _numbers(load_mode(str(path)))
    except BadInput:  # of an edited file that is no mode any more
        unedited = False
    if not unedited:
        return f"{MODE_FILE} is not what calibrate makes of the earlier recordings, and was left as it is: {command}"
    mode = _fitted(scenario, recordings)
    if mode is not None:
        write_calibrated(mode, path)
    return None


def _fitted(scenario: Scenario, recordings: Sequence[Recording]) -> Mode | None:
    fitted_to = [recording_of(one.path) for one in recordings]
    return calibrated(subject_of(scenario), fitted_to, provenance=recordings[0].provenance)


def _numbers(mode: Mode | None) -> object:
    if mode is None:
        return None
    return mode.model_dump(mode="json", exclude={"version", "description", "fitted_from", "origins", "held_out"})


def _adding(
    request: RecordingRequest, recordings: Sequence[Recording], plan: Plan, pairs: PairsInWords
) -> RecordingRequest:
    taken = {one.name for one in recordings}
    number = next(number for number in range(len(taken) + 1, 2 * len(taken) + 2) if f"run_{number}" not in taken)
    return replace(request, runs=1, addition=Addition(number, f"run_{number}", plan, pairs))


def _plans(request: RecordingRequest, recordings: Sequence[Recording]) -> list[Plan]:
    """Return what each recording was asked, under the names of the essays' files."""
    named = {essay: essay for essay in request.essays.texts}
    if request.redaction is not None:
        named = {request.redaction.essay(essay): essay for essay in request.essays.texts}

    def own_names(callback: LLMComparisonResultV1) -> LLMComparisonResultV1:
        first, second = (named[essay] for essay in callback.essay_ids())
        metadata = {**callback.request_metadata, "essay_a_id": first, "essay_b_id": second}
        return callback.model_copy(update={"request_metadata": metadata})

    plans = []
    for one in recordings:
        callbacks = [line.event.data for line in read_callbacks(one.path).events]
        if strangers := {essay for callback in callbacks for essay in callback.essay_ids()} - named.keys():
            raise BadInput(
                f"speaks of {len(strangers)} essays that the folder lacks.",
                path=one.path,
                remedy="Name the folder of essays that was judged: --essays.",
            )
        plans.append(plan_of([own_names(callback) for callback in callbacks], keep_ids=False))
    return plans
