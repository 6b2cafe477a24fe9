"""This module writes a redacted copy of a trace: all at once, and refused where it would be half a redaction.

A line that is no usable callback cannot be redacted, since nobody knows where in it a name is. In its place comes a
line that says so and is no callback either: the copy has as many unusable lines as the original, and parity sees them.
Not carried over: quarantined messages, published figures, and what people wrote in provenance.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.json_lines import read_lines
from cj_pipeline.traces.message_filter import MessageFilter, MessageOutcome, Selection, Unusable
from cj_pipeline.traces.provenance import PROVENANCE_FILE, Provenance, RedactionProvenance
from cj_pipeline.traces.redaction.provenance import copied_provenance
from cj_pipeline.traces.redaction_policy import REDACTED
from cj_pipeline.traces.redactor import redaction_provenance
from cj_pipeline.traces.scenario import MODE_FILE, SCENARIO_FILE, Scenario
from cj_pipeline.traces.store import Recording, trace_recordings
from cj_pipeline.traces.writing import FurtherRecording, TraceDescription, WrittenLines, write_trace

if TYPE_CHECKING:
    from cj_pipeline.traces.redactor import Redactor


@dataclass(frozen=True, slots=True)
class RedactedTrace:
    """What was written, of the main recording where there are several.

    callbacks: lines that are one; unusable: lines that are none; sha256: of the callbacks.
    """

    folder: Path
    callbacks: int
    unusable: int
    sha256: str
    redaction: RedactionProvenance


def redact_trace(source: Path, target: Path, redaction: Redactor, mode: str | None = None) -> RedactedTrace:
    """Write a redacted copy of the trace folder `source` to the new folder `target`, whose name is its scenario id.

    mode: text of a mode file that the copy is to run under, as `mode.yaml` beside its scenario; None leaves the
    scenario's own mode. Raises BadInput, and writes nothing: the source was edited, is redacted already or speaks of
    essays that its scenario does not have; the target exists. Raises SamePseudonym.
    """
    scenario, recordings = trace_recordings(source)
    for recording in recordings:
        _require_unredacted(recording)
    require_new(target)
    copy = redaction.scenario(scenario, target.name, scenario.mode if mode is None else MODE_FILE)
    _require_usable(copy, target)

    def provenance_of(recording: Recording) -> Callable[[WrittenLines], Provenance]:
        return lambda _: copied_provenance(recording.provenance, target.name, _section(redaction))

    def lines_of(recording: Recording) -> Iterator[bytes]:
        return _lines(recording.path, redaction, scenario)

    main, *others = recordings

    def describe(written: WrittenLines) -> TraceDescription:
        return TraceDescription(
            copy,
            provenance_of(main)(written),
            "Redacted.",
            files={} if mode is None else {MODE_FILE: mode.encode()},
            recordings=tuple(
                # A name of a recording may be a person's.
                FurtherRecording(f"recording_{number}", lines_of(recording), provenance_of(recording))
                for number, recording in enumerate(others, start=2)
            ),
        )

    made = write_trace(target, lines_of(main), describe)
    # A repeated request id is no second answer.
    callbacks = made.summary.total_events
    return RedactedTrace(target, callbacks, made.lines.count - callbacks, made.sha256, _section(redaction))


def require_new(target: Path) -> None:
    """Raise BadInput when a trace cannot be made there."""
    if target.exists():
        raise BadInput("is there already.", path=target, remedy="Name a folder that is not.")
    if not target.parent.is_dir():
        raise BadInput("no such folder.", path=target.parent, remedy="Make it first.")


def _section(redaction: Redactor) -> RedactionProvenance:
    section = redaction_provenance(redaction, dict(redaction.dropped))
    if section is None:
        raise AssertionError("a redaction has a provenance")
    return section


def _require_unredacted(recording: Recording) -> None:
    done = recording.provenance.redaction
    if done is not None:
        raise BadInput(
            f"this trace is redacted already, under the key {done.key_id}.",
            path=recording.folder / PROVENANCE_FILE,
            field="redaction",
            remedy="Redact the original; pseudonyms of pseudonyms would not be comparable with anything.",
        )


def _require_usable(scenario: Scenario, target: Path) -> None:
    """Hold it against the schema before anything is written: `model_copy` checks nothing."""
    try:
        Scenario.model_validate_json(scenario.model_dump_json())
    except ValueError:
        raise BadInput(
            "is not the name of a scenario.", path=target, remedy="Use lower case, digits and underscores."
        ) from None


def _lines(path: Path, redaction: Redactor, scenario: Scenario) -> Iterator[bytes]:
    known = {item.id for item in scenario.net.items}
    judge = MessageFilter(Selection()).judge
    for number, raw in enumerate(read_lines(path, utf8=False), start=1):
        if not raw.strip():
            continue
        read = judge(raw, 0)
        if not isinstance(read, CallbackEvent):
            foreign = isinstance(read, Unusable) and read.outcome is MessageOutcome.FOREIGN
            yield json.dumps({REDACTED: "event of another type" if foreign else "unusable line"}).encode()
            continue
        if not known.issuperset(read.data.essay_ids()):
            # Without the id: a trace that is to be redacted says nothing of it in an error either.
            raise BadInput(
                "speaks of an essay that is not in the scenario's net.",
                path=path,
                line=number,
                field="data.request_metadata",
                remedy=f"Add it to net.items in {SCENARIO_FILE}.",
            )
        yield redaction.line(read)
