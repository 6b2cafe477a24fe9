"""From a source to a trace folder: the same path that a captured callback takes, from its bytes to its line.

Here: going through a source, and what the trace's provenance says of it. Not here: sources (json_folder.py,
artefact.py, cj_database.py), the scenario (scenario.py), the files of a trace (capture/).

A callback is read, held against the rules of the wire, told apart from repeats and redacted exactly as in a capture. An
import reads its source in one go, so there is nothing to resume: one that is interrupted leaves no trace, and is begun
again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.capture.draft import TraceDraft
from cj_pipeline.traces.capture.lane import Fate, FigureTooLarge, Lane, QuarantineNote
from cj_pipeline.traces.capture.publishing import CONTRADICTION, DUPLICATE, TAKEN, Findings, NothingTaken, publish
from cj_pipeline.traces.capture.request import Beginning, Selection
from cj_pipeline.traces.capture.sieve import TOO_LARGE, Sieve, Unusable
from cj_pipeline.traces.captured_scenario import ScenarioChoices, require_choices
from cj_pipeline.traces.import_provenance import ImportProvenance
from cj_pipeline.traces.importing.scenario import imported_scenario
from cj_pipeline.traces.importing.source import Found, Source
from cj_pipeline.traces.provenance import Provenance, RedactionProvenance, TraceOrigin
from cj_pipeline.traces.redaction.pseudonyms import is_uuid
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.scenario import Scenario, is_scenario_id
from cj_pipeline.traces.wire_callback import WireCallback

GENERATED_BY = "cj-pipeline import, method 1 (since 0.1.0)"


# Quarantined things that are named to the person at the terminal; the file has them all.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """One import: from a source to the folder `traces_dir/scenario_id`.

    redaction: None to keep everything as it came. bos_batch_id: the batch that is meant, where a source has several.
    """

    scenario_id: str
    traces_dir: Path
    redaction: Redaction | None
    choices: ScenarioChoices = field(default_factory=ScenarioChoices)
    bos_batch_id: str | None = None


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What came of an import.

    counts: what was found, by what became of it; their sum is `read`. missing: what is not in the trace although it
    was asked for, a sentence each. bt_scores: final scores that came with the source (logits), by the essays' names in
    the trace. quarantined: the first of them, a sentence each. dropped: what redaction took out, by kind.
    """

    folder: Path
    sha256: str
    read: int
    counts: Mapping[str, int]
    unanswered: int
    missing: tuple[str, ...]
    bt_scores: Mapping[str, float]
    quarantined: tuple[str, ...]
    remarks: tuple[str, ...]
    dropped: Mapping[str, int]


@dataclass(slots=True)
class _Passage:
    """A source on its way into a lane."""

    lane: Lane
    sieve: Sieve
    redacted: bool
    batches: dict[str, int] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    read: int = 0

    def take_in(self, found: Found) -> None:
        position = self.read
        self.read += 1
        if found.refused is not None:
            self._set_aside(found, position, Unusable(Fate.MALFORMED, found.refused.field, found.refused.reason, True))
            return
        judgement = self.sieve.judge(found.raw, 0)
        if isinstance(judgement, WireCallback):
            batch = judgement.bos_batch_id or ""  # before the lane redacts it
            try:
                # One time for all: the source is in its order already, which the positions keep.
                self.lane.take(judgement, found.raw, position, 0)
            except FigureTooLarge:
                self._set_aside(found, position, TOO_LARGE)
            else:
                self.batches[batch] = self.batches.get(batch, 0) + 1
        elif isinstance(judgement, Unusable):
            self._set_aside(found, position, judgement)
        else:
            self.lane.pass_over(judgement, position)

    def _set_aside(self, found: Found, position: int, why: Unusable) -> None:
        place = found.numbered if self.redacted else found.where
        if len(self.named) < _NAMED:
            self.named.append(": ".join(part for part in (place, why.field, why.reason) if part) + ".")
        note = QuarantineNote(why.reason, why.field, {"place": place}, why.concerns)
        self.lane.set_aside(why.fate, position, found.raw, note)


def import_trace(request: ImportRequest, source: Source) -> ImportResult:
    """Make a trace of a source.

    Raises BadInput: the scenario id is none, or taken; a file of the choices cannot be used; the source holds no usable
    callback, or those of several batches. Nothing is left behind then. The source is closed in any case.
    """
    try:
        return _imported(request, source)
    finally:
        source.close()


def _imported(request: ImportRequest, source: Source) -> ImportResult:
    _require_name(request)
    require_choices(request.choices)
    draft = TraceDraft.open(request.traces_dir / request.scenario_id, Beginning.ANEW, request.redaction)
    try:
        lane = draft.lane(0)
        passage = _Passage(
            lane, Sieve(Selection(bos_batch_id=request.bos_batch_id)), request.redaction is not None, {}, []
        )
        for found in source.found:
            passage.take_in(found)
        _require_one_batch(request, passage.batches)
        lane.flush()
        findings = publish(draft, {0: lane.state}, partial(_described, request, source, lane))
    except NothingTaken:
        draft.discard()
        raise _nothing(request, passage) from None
    except BaseException:
        draft.discard()
        raise
    rename = request.redaction.essay if request.redaction is not None else str
    return ImportResult(
        folder=request.traces_dir / request.scenario_id,
        sha256=findings.sha256,
        read=passage.read,
        counts=_counts(findings, lane),
        unanswered=source.known.unanswered,
        missing=_missing(source, lane),
        bt_scores={rename(essay): score for essay, score in source.known.bt_scores.items()},
        quarantined=tuple(passage.named),
        remarks=source.known.remarks,
        dropped=findings.dropped,
    )


def _described(
    request: ImportRequest, source: Source, lane: Lane, findings: Findings
) -> tuple[Scenario, str, Provenance]:
    redaction, missing = request.redaction, _missing(source, lane)
    scenario = imported_scenario(request.scenario_id, source, findings, request.choices, redaction)
    provenance = Provenance(
        scenario_id=request.scenario_id,
        origin=TraceOrigin.IMPORTED,
        statement=source.known.statement,
        sources=source.known.sources,
        generated_by=GENERATED_BY,
        recorded_at=findings.started_at,
        fields=dict(sorted(source.known.fields.items())),
        redaction=None
        if redaction is None
        else RedactionProvenance(
            policy=redaction.policy, key_id=redaction.pseudonyms.key_id, dropped=dict(findings.dropped)
        ),
        imported=ImportProvenance(
            source=source.kind,
            imported_at=utc_now(),
            counts=_counts(findings, lane),
            unanswered=source.known.unanswered,
            partial=bool(missing),
            missing=missing,
        ),
    )
    return scenario, f"Made by cj-pipeline traces import. Source: {source.kind}.", provenance


def _counts(findings: Findings, lane: Lane) -> dict[str, int]:
    fates = {fate.value: lane.state.fates[fate] for fate in (Fate.OTHER_BATCH, Fate.FOREIGN, Fate.MALFORMED)}
    return {TAKEN: findings.taken, DUPLICATE: findings.duplicates, CONTRADICTION: findings.contradictions, **fates}


def _missing(source: Source, lane: Lane) -> tuple[str, ...]:
    unusable = lane.state.malformed_matches
    if not unusable:
        return source.known.missing
    return (*source.known.missing, f"{unusable} of what was found are no usable callbacks; quarantine.jsonl says why.")


def _require_name(request: ImportRequest) -> None:
    if not is_scenario_id(request.scenario_id):
        raise BadInput(
            "is not a scenario's name.",
            path="import",
            field="scenario_id",
            remedy="Use lower case, digits and underscores.",
        )


def _require_one_batch(request: ImportRequest, batches: Mapping[str, int]) -> None:
    if len(batches) < 2:
        return
    # Only those that name nobody; whoever has the source can look the others up there.
    ids = sorted(batch for batch in batches if is_uuid(batch))[:_NAMED]
    examples = f" (such as {', '.join(ids)})" if ids else ""
    raise BadInput(
        f"the source holds callbacks of {len(batches)} batches{examples}.",
        path="import",
        field="bos_batch_id",
        remedy="A trace is one batch's; choose it with --batch.",
    )


def _nothing(request: ImportRequest, passage: _Passage) -> BadInput:
    of_batch = "" if request.bos_batch_id is None else " of this batch"
    first = f" The first: {passage.named[0]}" if passage.named else ""
    return BadInput(
        f"none of {passage.read} things found is a usable callback{of_batch}.{first}",
        path="import",
        remedy="Is it the right source?" if request.bos_batch_id is None else "Is it the right --batch?",
    )
