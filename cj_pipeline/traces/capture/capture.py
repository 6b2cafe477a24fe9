"""This module captures callbacks from a Kafka topic into a trace folder: draft, reading, trace.

Exactly once, whatever happens: offsets are stored with the data and nowhere else, and a capture that ended early goes
on where it was. The topic is only read; no group is joined and no offset committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.traces.arrivals import recorded_sha256
from cj_pipeline.traces.capture.draft import FINISHED_FOLDER, CaptureDraft, Owner, draft_folder
from cj_pipeline.traces.capture.progress import PartitionProgress, messages_read
from cj_pipeline.traces.capture.reading import CaptureProgress as CaptureProgress
from cj_pipeline.traces.capture.reading import Ending, OnProgress, TopicReader
from cj_pipeline.traces.capture.report import Reading, capture_provenance, identity_of, open_transactions
from cj_pipeline.traces.capture.request import Beginning, CaptureRequest, require_usable
from cj_pipeline.traces.capture.source import CannotCapture, Range, TopicSource
from cj_pipeline.traces.captured_scenario import TraceFacts, captured_scenario, require_choices
from cj_pipeline.traces.draft import disk_errors_in_words
from cj_pipeline.traces.provenance import FieldOrigin, FieldProvenance, Provenance, TraceOrigin, read_provenance
from cj_pipeline.traces.redactor import redaction_provenance
from cj_pipeline.traces.writing import TraceDescription, WrittenLines, write_trace

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from threading import Event

    from cj_pipeline.bus.kafka.settings import KafkaSettings


class CaptureStopped(CjPipelineError):
    """A capture was stopped from outside; its draft is kept. taken: callbacks in it."""

    def __init__(self, scenario_id: str, taken: int) -> None:
        self.taken = taken
        super().__init__(
            f"stopped; the draft of {scenario_id} holds {taken} callbacks. Go on with --resume, or publish them with "
            "--finish."
        )


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """A finished capture. counts: messages by what became of them; their sum is `read`.

    held_against: the end that makes it whole; None where nobody but the reader chose one.
    """

    folder: Path
    sha256: str
    provenance: Provenance
    read: int
    counts: dict[str, int]
    missing: tuple[str, ...]
    ending: str
    held_against: str | None

    @property
    def scenario_id(self) -> str:
        """Return the trace's name."""
        return self.provenance.scenario_id

    @property
    def partial(self) -> bool:
        """Return whether something that was asked for is not in the trace."""
        return bool(self.missing)


def capture(
    request: CaptureRequest,
    kafka: KafkaSettings | None,
    *,
    on_progress: OnProgress | None = None,
    stop: Event | None = None,
) -> CaptureResult:
    """Capture callbacks into the folder `request.target`, which is there afterwards, whole, or not at all.

    kafka: None is enough for Beginning.FINISH. on_progress: called some five times a second. stop: set by anybody, it
    ends the reading; what was taken is kept as a draft.

    Raises BadInput for a request that cannot be meant, a target or a draft in the way, and choices that do not fit the
    callbacks; CannotCapture when the topic cannot be read, or holds nothing that was asked for; CaptureStopped.
    Whatever it raises after reading has begun, the draft is kept for Beginning.RESUME and FINISH.
    """
    require_usable(request)
    require_choices(request.choices)
    with (
        disk_errors_in_words(draft_folder(request.target)),
        CaptureDraft.open(request.target, request.beginning, request.redaction) as draft,
    ):
        if draft.published:
            # Only the draft was left behind, by an end between the rename and its removal.
            draft.discard()
            return _result(request.target)
        if request.beginning is Beginning.FINISH:
            return _finish(request, draft)
        if kafka is None:
            raise BadInput("names no cluster.", path="capture", field="kafka", remedy="Give its settings.")
        with TopicSource(kafka.client_config(), request.topic) as source:
            owner = _claim(request, draft, source)
            ends = _ends(owner)
            ending = TopicReader(request, source, draft, ends, on_progress, stop).run()
            if ending is Ending.STOPPED:
                raise CaptureStopped(request.scenario_id, sum(p.taken for p in draft.partitions.values()))
            reading = _reading(request, draft, source, ends, ending)
        return _publish(request, draft, owner, reading)


def _claim(request: CaptureRequest, draft: CaptureDraft, source: TopicSource) -> Owner:
    """Return the draft's owner: this request, over what the topic holds now, or held when the draft was begun."""
    cluster_id, numbers = source.partitions()
    identity = identity_of(request, cluster_id)
    if draft.owner is not None:
        return draft.claim(identity, {})
    ranges = source.ranges(numbers)
    for number, first in _firsts(request, source, ranges).items():
        draft.partitions[number] = PartitionProgress(number, first, first)
    frame = {
        "ends": {str(number): found.high for number, found in ranges.items()},
        "expected_count": request.limits.expected_count,
        "open_ended": request.limits.open_ended,
    }
    return draft.claim(identity, frame)


def _ends(owner: Owner) -> dict[int, int]:
    return {int(number): end for number, end in owner.frame["ends"].items()}


def _firsts(request: CaptureRequest, source: TopicSource, ranges: Mapping[int, Range]) -> dict[int, int]:
    since_ms = request.selection.since_ms
    if since_ms is None:
        return {number: found.low for number, found in ranges.items()}
    return {
        number: ranges[number].high if offset is None else offset
        for number, offset in source.offsets_at(since_ms, ranges).items()
    }


def _reading(
    request: CaptureRequest, draft: CaptureDraft, source: TopicSource, ends: dict[int, int], ending: Ending
) -> Reading:
    """Return what the reading is held against: the ends at the start, and those of now where a transaction is open."""
    expected = request.limits.expected_count
    open_ended = request.limits.open_ended
    unread = open_ended or any(draft.partitions[number].next < end for number, end in ends.items())
    if ending is Ending.COUNT_REACHED or not unread:
        return Reading(ending, ends, expected, {})
    try:
        ranges = source.ranges(draft.partitions)
    except CannotCapture:
        return Reading(ending, ends, expected, {}, end_is_known=not open_ended)
    transactions = open_transactions(draft.partitions, ranges)
    if open_ended:
        ends = {**ends, **{number: ranges[number].high for number in transactions}}
    return Reading(ending, ends, expected, transactions)


def _finish(request: CaptureRequest, draft: CaptureDraft) -> CaptureResult:
    """Publish what a draft has."""
    owner = draft.owner
    if owner is None:
        raise BadInput("there is no unfinished capture of this name.", path=draft.folder)
    _require_same_redaction(request, draft, owner)
    # What was expected when the draft was begun is still what the trace is held against.
    expected = request.limits.expected_count or owner.frame.get("expected_count")
    known = not owner.frame.get("open_ended")
    return _publish(request, draft, owner, Reading(Ending.STOPPED, _ends(owner), expected, {}, end_is_known=known))


def _require_same_redaction(request: CaptureRequest, draft: CaptureDraft, owner: Owner) -> None:
    """Refuse to finish a draft under another redaction than the one it was begun with; its provenance must be true."""
    asked = identity_of(request, "")
    for name in ("key_id", "justifications", "allowed_keys", "keep_raw"):
        if asked[name] != owner.identity.get(name):
            raise BadInput(
                "is not what the unfinished capture was begun with.",
                path=draft.folder,
                field=name,
                remedy="Finish it with the same --key, --justifications, --keep-raw or --no-redact as it was begun.",
            )


def _publish(request: CaptureRequest, draft: CaptureDraft, owner: Owner, reading: Reading) -> CaptureResult:
    if not draft.callbacks.taken or draft.earliest is None:
        problem = _nothing_taken(draft, str(owner.identity["topic"]))
        # A draft of nothing helps nobody, and would be in the way of the next attempt.
        draft.discard()
        raise problem
    began_at: datetime = draft.earliest

    def describe(written: WrittenLines) -> TraceDescription:
        return _described(request, draft, owner, reading, written, began_at)

    def note_published(written: WrittenLines) -> None:
        draft.callbacks.note("published", written.sha256)
        draft.commit()

    write_trace(
        request.target,
        draft.callbacks.lines(),
        describe,
        quarantine=draft.callbacks.quarantine(with_raw=request.keep_raw or request.redaction is None),
        draft=draft.folder / FINISHED_FOLDER,
        before_rename=note_published,
    )
    draft.discard()
    return _result(request.target)


def _nothing_taken(draft: CaptureDraft, topic: str) -> CannotCapture:
    outcomes: dict[str, int] = {}
    for progress in draft.partitions.values():
        for name, count in progress.outcomes.items():
            outcomes[name] = outcomes.get(name, 0) + count
    others = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(outcomes.items(), reverse=True))
    return CannotCapture(
        f"none of the {messages_read(draft.partitions.values())} messages of '{topic}' is what was asked for"
        f"{f' ({others})' if others else ''}. "
        "Check the batch id, the topic and the time; no trace was made."
    )


def _described(
    request: CaptureRequest,
    draft: CaptureDraft,
    owner: Owner,
    reading: Reading,
    written: WrittenLines,
    began_at: datetime,
) -> TraceDescription:
    topic = str(owner.identity["topic"])
    facts = TraceFacts(
        essays=written.essays,
        comparisons=draft.callbacks.comparisons(),
        first=written.first_callback,
        started_at=began_at,
        title=f"captured from {topic}, {began_at:%Y-%m-%d}",
        hints=written.hints,
        callback_topic=topic,
    )
    return TraceDescription(
        scenario=captured_scenario(request.scenario_id, facts, request.choices, request.redaction),
        provenance=_provenance(request, draft, owner, reading),
        heading=f"Captured from {topic}.",
        fit_mode=request.choices.wanted_fit,
    )


def _provenance(request: CaptureRequest, draft: CaptureDraft, owner: Owner, reading: Reading) -> Provenance:
    captured = capture_provenance(draft, owner, reading)
    return Provenance(
        scenario_id=request.scenario_id,
        origin=TraceOrigin.CAPTURED,
        statement=(
            "Callbacks as a Kafka topic held them, in the order of timestamps, partitions and offsets; of several for "
            "one request the first. "
            + (
                "Nothing was taken out."
                if request.redaction is None
                else "Names and texts of pupils were replaced before anything was written; the rest is as it was."
            )
        ),
        sources=(f"kafka topic {captured.topic}, cluster {captured.cluster_id}",),
        generated_by="cj-pipeline traces capture",
        recorded_at=owner.began_at,
        fields={"*": FieldProvenance(origin=FieldOrigin.RECORDED, note="as it came off the topic")},
        redaction=redaction_provenance(request.redaction, draft.dropped, raw_quarantine_kept=request.keep_raw),
        capture=captured,
    )


def _result(folder: Path) -> CaptureResult:
    """Describe a trace that is at its place; its callbacks are not read."""
    provenance = read_provenance(folder)
    captured = provenance.capture
    if captured is None:
        raise BadInput("is there already, and was not captured.", path=folder)
    return CaptureResult(
        folder=folder,
        sha256=recorded_sha256(folder),
        provenance=provenance,
        read=captured.read,
        counts=captured.counts,
        missing=captured.missing,
        ending=captured.ending,
        held_against=captured.held_against,
    )
