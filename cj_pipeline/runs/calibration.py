"""This module calibrates a mode: it fits one to recordings, measures it on held-out answers, and writes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.mode import FittedFrom, Mode
from cj_pipeline.mock.mode.text import mode_text
from cj_pipeline.mock.model.answers import answers_of
from cj_pipeline.mock.model.fit_mode import Callbacks, constants_of, fitted_mode
from cj_pipeline.mock.model.held_out import Judge, held_out_fit
from cj_pipeline.traces.provenance import FieldOrigin, file_sha256
from cj_pipeline.traces.reader import QuarantinedLine, read_results
from cj_pipeline.warehouse.files import replace_whole

if TYPE_CHECKING:
    from pathlib import Path

    from cj_pipeline.contracts.named_prompt import NamedPrompt
    from cj_pipeline.traces.provenance import Provenance
    from cj_pipeline.traces.scenario import Scenario

HEADING = "The judge of these recordings, as `cj-pipeline calibrate` fitted it; docs/lps.md explains the keys."

# Which sections of a mode rest on which field of a callback.
_FIELDS = {
    "data.winner": "winner.abilities",
    "data.response_time_ms": "latency",
    "data.token_usage": "tokens.prompt",
    "data.confidence": "confidence",
    "data.cost_estimate": "cost",
    "data.justification": "justification",
    "data.error_detail": "errors",
}
_INVENTED = frozenset({FieldOrigin.DRAWN, FieldOrigin.ABSENT})


@dataclass(frozen=True, slots=True)
class CalibratedFrom:
    """One recording: its usable callbacks, in order, and the digest of its file. unusable: lines that were left out."""

    callbacks: Callbacks
    sha256: str
    unusable: int = 0


def recording_of(path: Path) -> CalibratedFrom:
    """Read a file of callbacks. Raises BadInput when it is missing, empty or in another encoding."""
    unusable: list[QuarantinedLine] = []
    callbacks = tuple(data for _, data in read_results(path, unusable.append))
    return CalibratedFrom(callbacks, file_sha256(path), len(unusable))


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose mode it is. essays: of its net, judged or not; repeatability: what is known of it from elsewhere.

    prompt: what the judge was asked with; None where nobody knows.
    """

    scenario_id: str
    essays: tuple[str, ...] = ()
    repeatability: float | None = None
    host_latency: bool = False
    prompt: NamedPrompt | None = None


def subject_of(scenario: Scenario) -> Subject:
    """Return what a scenario says of its judge."""
    return Subject(
        scenario.scenario_id,
        tuple(item.id for item in scenario.net.items),
        None if scenario.judge is None else scenario.judge.repeatability,
        host_latency=scenario.latency == "host",
        prompt=scenario.provider.prompt,
    )


def calibrated(
    subject: Subject,
    recordings: Sequence[CalibratedFrom],
    held: Sequence[CalibratedFrom] = (),
    *,
    name: str | None = None,
    provenance: Provenance | None = None,
) -> Mode | None:
    """Fit a mode to recordings of one judge and measure it on others; None where none of them has a winner.

    held: recordings that are not fitted to; without any, parts of the recordings are held out in turn for the
    measurement. name: the mode's; the scenario's by default.
    """
    constants = constants_of([one.callbacks for one in recordings])
    if constants is None:
        return None
    fitted, kept_out = (tuple(answers_of([one.callbacks]) for one in side) for side in (recordings, held))
    essays = {essay for answers in (*fitted, *kept_out) for essay in (*answers.essay_a, *answers.essay_b)}
    items = tuple(sorted(essays.union(subject.essays)))
    judge = Judge(
        mode_name(name or subject.scenario_id), items, subject.repeatability, host_latency=subject.host_latency
    )
    first, *further = (one.sha256 for one in recordings)
    mode = fitted_mode(
        fitted,
        constants,
        items,
        name=judge.name,
        fitted_from=FittedFrom(
            scenario_id=subject.scenario_id,
            trace_sha256=first,
            further_sha256=tuple(further),
            prompt=subject.prompt,
        ),
        repeatability=subject.repeatability,
        known=_invented(provenance),
    )
    if mode is None:
        return None
    measured = held_out_fit(judge, constants, fitted, kept_out, fitted=mode, digests=tuple(one.sha256 for one in held))
    return mode.model_copy(update={"held_out": measured})


def mode_name(text: str) -> str:
    """Return a text as the name of a mode: lower case, with underscores.

    >>> mode_name("Spring pilot-2.jsonl")
    'spring_pilot_2_jsonl'
    """
    return re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_") or "mode"


def write_calibrated(mode: Mode, path: Path) -> Mode:
    """Write a mode file, and return the mode as it was written: of the next version, where the file holds another.

    Raises BadInput when the file is there and is no mode.
    """
    if path.exists():
        try:
            earlier = load_mode(str(path))
        except BadInput as error:
            raise BadInput(
                f"is there already, and is no mode ({error.problem})", path=path, remedy="Choose another name."
            ) from None
        same = mode.model_copy(update={"version": earlier.version})
        mode = same if same == earlier else mode.model_copy(update={"version": earlier.version + 1})
    replace_whole(path, lambda temporary: _write(temporary, mode))
    return mode


def _write(path: Path, mode: Mode) -> None:
    path.write_text(mode_text(mode, HEADING), encoding="utf-8")


def _invented(provenance: Provenance | None) -> dict[str, str]:
    """Return what provenance says of the sections that rest on invented fields."""
    if provenance is None:
        return {}
    told = {}
    for field, section in _FIELDS.items():
        found = provenance.fields.get(field)
        if found is not None and found.origin in _INVENTED:
            told[section] = f"The recording did not hold it ({found.origin}: {found.note})."
    return told
