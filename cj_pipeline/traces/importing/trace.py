"""This module makes a trace folder of a source, by the path that a captured callback takes from its bytes to its line.

A callback is held against the rules of the wire, told apart from repeats and redacted exactly as in a capture. An
import reads its source in one go, so there is nothing to resume: one that is interrupted leaves no trace, and is begun
again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.names import SCENARIO, require_name
from cj_pipeline.foundation.uuid_text import is_uuid
from cj_pipeline.traces.captured_scenario import ScenarioChoices, TraceFacts, require_choices
from cj_pipeline.traces.completeness import END_OF_BATCH, EXPECTED_COUNT
from cj_pipeline.traces.draft import DRAFT_FILE, CallbackDraft, Place, disk_errors_in_words, kept_line, quarantine_entry
from cj_pipeline.traces.further_recording import RecordingPlace
from cj_pipeline.traces.import_provenance import ImportProvenance
from cj_pipeline.traces.importing.scenario import imported_scenario
from cj_pipeline.traces.importing.source import Found, Source
from cj_pipeline.traces.message_filter import MessageFilter, MessageOutcome, Selection, Unusable
from cj_pipeline.traces.provenance import Provenance, TraceOrigin
from cj_pipeline.traces.redactor import Redactor, redaction_provenance
from cj_pipeline.traces.writing import TraceDescription, WrittenLines, write_trace

GENERATED_BY = "cj-pipeline import, method 1 (since 0.1.0)"

# Quarantined things that are named to the person at the terminal; the file has them all.
_NAMED = 3

_OUTCOMES = (MessageOutcome.OTHER_BATCH, MessageOutcome.FOREIGN, MessageOutcome.MALFORMED)


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """One import: from a source to the folder `traces_dir/scenario_id`, or into a scenario that is there.

    into: where the source's callbacks become a further recording; None for a scenario of their own. redaction: None to
    keep everything as it came. bos_batch_id: the batch that is meant, where a source has several.
    expected_count: how many callbacks the batch has, where somebody knows.
    """

    scenario_id: str
    traces_dir: Path
    redaction: Redactor | None
    choices: ScenarioChoices = field(default_factory=ScenarioChoices)
    bos_batch_id: str | None = None
    expected_count: int | None = None
    into: RecordingPlace | None = None


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What came of an import.

    counts: what was found, by what became of it; their sum is `read`. missing: what is not in the trace although it
    was asked for, a sentence each. held_against: the end that makes it whole; None where none is known. bt_scores:
    final scores that came with the source (logits), by the essays' names in the trace. quarantined: the first of them,
    a sentence each. dropped: what redaction took out, by kind.
    """

    folder: Path
    sha256: str
    read: int
    counts: Mapping[str, int]
    unanswered: int
    missing: tuple[str, ...]
    held_against: str | None
    bt_scores: Mapping[str, float]
    quarantined: tuple[str, ...]
    remarks: tuple[str, ...]
    dropped: Mapping[str, int]


class _Intake:
    """A source on its way into a draft."""

    def __init__(self, request: ImportRequest, draft: CallbackDraft) -> None:
        self._redaction = request.redaction
        self._draft = draft
        self._filter = MessageFilter(Selection(bos_batch_id=request.bos_batch_id))
        self._dropped_before = Counter() if request.redaction is None else Counter(request.redaction.dropped)
        self.batches: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.malformed_matches = 0
        self.named: list[str] = []
        self.read = 0
        self.earliest: datetime | None = None

    @property
    def dropped(self) -> dict[str, int]:
        """Return what redaction took out, by kind."""
        return {} if self._redaction is None else dict(self._redaction.dropped - self._dropped_before)

    def take_in(self, found: Found) -> None:
        position = self.read
        self.read += 1
        if found.refused is not None:
            why = Unusable(MessageOutcome.MALFORMED, found.refused.field, found.refused.reason, concerns=True)
            self._set_aside(found, position, why)
            return
        judgement = self._filter.judge(found.raw, 0)
        if isinstance(judgement, CallbackEvent):
            self._take(judgement, found, position)
        elif isinstance(judgement, Unusable):
            self._set_aside(found, position, judgement)
        else:
            self.outcomes[judgement.value] += 1

    def _take(self, event: CallbackEvent, found: Found, position: int) -> None:
        self.batches[str(event.data.request_metadata.get("bos_batch_id", ""))] += 1
        if self.earliest is None or event.data.requested_at < self.earliest:
            self.earliest = event.data.requested_at
        line, read = kept_line(event, found.raw, self._redaction)
        self._draft.take(Place(found.time, 0, position), read, line)

    def _set_aside(self, found: Found, position: int, why: Unusable) -> None:
        place = found.where if self._redaction is None else found.numbered
        if len(self.named) < _NAMED:
            self.named.append(": ".join(part for part in (place, why.field, why.reason) if part) + ".")
        entry = quarantine_entry(found.raw, why, {"place": place}, self._redaction)
        self._draft.set_aside(0, position, entry)
        self.outcomes[why.outcome.value] += 1
        self.malformed_matches += why.concerns


def import_trace(request: ImportRequest, source: Source) -> ImportResult:
    """Make a trace of a source.

    Raises BadInput: the scenario id is none, or taken; a file of the choices cannot be used; the source holds no usable
    callback, or those of several batches. Nothing is left behind then.
    """
    target = request.traces_dir / request.scenario_id
    require_name(request.scenario_id, SCENARIO, path="import", field="scenario_id")
    require_choices(request.choices)
    if target.exists() and request.into is None:
        raise BadInput(
            "is there already.",
            path=target,
            remedy=f"Choose another scenario id, or add a recording to it: --into {request.scenario_id}.",
        )
    request.traces_dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{request.scenario_id}.", dir=request.traces_dir))
    try:
        with disk_errors_in_words(request.traces_dir), CallbackDraft(folder / DRAFT_FILE) as draft:
            return _imported(request, source, draft)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _imported(request: ImportRequest, source: Source, draft: CallbackDraft) -> ImportResult:
    intake = _Intake(request, draft)
    for found in source.found:
        intake.take_in(found)
    _require_one_batch(request, intake.batches)
    began_at = intake.earliest
    if began_at is None:
        raise _nothing(request, intake)
    known = source.known
    found_counts = draft.counts()
    counts = {
        "taken": found_counts.taken,
        "duplicate": found_counts.duplicates,
        "contradiction": found_counts.contradictions,
        **{outcome.value: intake.outcomes[outcome.value] for outcome in _OUTCOMES},
    }
    section = ImportProvenance(
        source=source.kind,
        imported_at=utc_now(),
        counts=counts,
        unanswered=known.unanswered,
        partial=bool(missing := _missing(request, source, intake, draft.taken)),
        missing=missing,
        expected_count=request.expected_count,
        held_against=_held_against(request, source),
    )

    def provenance(_: WrittenLines) -> Provenance:
        return _provenance(request, source, section, intake, began_at)

    def describe(written: WrittenLines) -> TraceDescription:
        return _described(request, source, provenance(written), written, draft.comparisons())

    quarantine = draft.quarantine(with_raw=request.redaction is None)
    if request.into is None:
        made = write_trace(request.traces_dir / request.scenario_id, draft.lines(), describe, quarantine=quarantine)
    else:
        made = request.into.add(draft.lines(), provenance, quarantine=quarantine)
    rename = request.redaction.essay if request.redaction is not None else str
    return ImportResult(
        folder=made.folder,
        sha256=made.sha256,
        read=intake.read,
        counts=counts,
        unanswered=known.unanswered,
        missing=missing,
        held_against=section.held_against,
        bt_scores={rename(essay): score for essay, score in known.bt_scores.items()},
        quarantined=tuple(intake.named),
        remarks=known.remarks,
        dropped=intake.dropped,
    )


def _provenance(
    request: ImportRequest, source: Source, section: ImportProvenance, intake: _Intake, began_at: datetime
) -> Provenance:
    known = source.known
    return Provenance(
        scenario_id=request.scenario_id,
        origin=TraceOrigin.IMPORTED,
        statement=known.statement,
        sources=known.sources,
        generated_by=GENERATED_BY,
        recorded_at=began_at,
        fields=dict(sorted(known.fields.items())),
        redaction=redaction_provenance(request.redaction, intake.dropped),
        imported=section,
    )


def _described(
    request: ImportRequest, source: Source, provenance: Provenance, written: WrittenLines, comparisons: int
) -> TraceDescription:
    known = source.known
    first = written.first_callback
    facts = TraceFacts(
        essays=written.essays,
        comparisons=comparisons,
        first=first,
        started_at=known.started_at or provenance.recorded_at or first.requested_at,
        title=f"{request.scenario_id}: imported, {source.kind}",
        hints=written.hints,
    )
    scenario = imported_scenario(request.scenario_id, known, facts, request.choices, request.redaction)
    return TraceDescription(
        scenario,
        provenance,
        f"Made by cj-pipeline traces import. Source: {source.kind}.",
        fit_mode=request.choices.wanted_fit,
    )


def _missing(request: ImportRequest, source: Source, intake: _Intake, taken: int) -> tuple[str, ...]:
    missing = list(source.known.missing)
    if request.expected_count not in (None, taken):
        missing.append(f"{request.expected_count} callbacks were expected and {taken} were found.")
    if unusable := intake.malformed_matches:
        missing.append(f"{unusable} of what was found are no usable callbacks; quarantine.jsonl says why.")
    return tuple(missing)


def _held_against(request: ImportRequest, source: Source) -> str | None:
    if request.expected_count is not None:
        return EXPECTED_COUNT
    return END_OF_BATCH if source.known.end_is_known else None


def _require_one_batch(request: ImportRequest, batches: Mapping[str, int]) -> None:
    if len(batches) < 2:
        return
    # Only those that name nobody; the others can be looked up in the source.
    ids = sorted(batch for batch in batches if is_uuid(batch))[:_NAMED]
    examples = f" (such as {', '.join(ids)})" if ids else ""
    raise BadInput(
        f"the source holds callbacks of {len(batches)} batches{examples}.",
        path="import",
        field="bos_batch_id",
        remedy="A recording is one batch's: choose it with --batch, and add the others of the same judge with --into.",
    )


def _nothing(request: ImportRequest, intake: _Intake) -> BadInput:
    if not intake.read:
        return BadInput("the source is empty.", path="import", remedy="Is it the right source?")
    of_batch = "" if request.bos_batch_id is None else " of this batch"
    first = f" The first: {intake.named[0]}" if intake.named else ""
    return BadInput(
        f"none of {intake.read} things found is a usable callback{of_batch}.{first}",
        path="import",
        remedy="Is it the right source?" if request.bos_batch_id is None else "Is it the right --batch?",
    )
