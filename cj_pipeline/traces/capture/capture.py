"""Capture callbacks from a Kafka topic into a trace folder.

Here: `capture`, the whole course of one: draft, reading, trace. Not here: the parts (request, source, sieve, lane,
draft, publishing), the terminal (cli/capture.py).

Exactly once, whatever happens: offsets are stored with the data and nowhere else, and a capture that ended early goes
on where it was. The topic is only read; no group is joined and no offset committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.capture.account import Reading, capture_provenance, identity_of
from cj_pipeline.traces.capture.course import CaptureProgress as CaptureProgress
from cj_pipeline.traces.capture.course import CaptureStopped as CaptureStopped
from cj_pipeline.traces.capture.course import Course
from cj_pipeline.traces.capture.course import Progress as Progress
from cj_pipeline.traces.capture.draft import Owner, TraceDraft
from cj_pipeline.traces.capture.lane import Fate, LaneState, read_state
from cj_pipeline.traces.capture.publishing import Findings, NothingTaken, publish
from cj_pipeline.traces.capture.reading import Ending
from cj_pipeline.traces.capture.request import Beginning, CaptureRequest, require_usable
from cj_pipeline.traces.capture.source import CannotCapture, Range, TopicSource
from cj_pipeline.traces.captured_scenario import TraceFacts, captured_scenario, require_choices
from cj_pipeline.traces.provenance import (
    CHECKSUM_FILE,
    FieldOrigin,
    FieldProvenance,
    Provenance,
    RedactionProvenance,
    TraceOrigin,
    read_provenance,
)
from cj_pipeline.traces.store import CALLBACKS_FILE

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

    from cj_pipeline.bus.kafka.settings import KafkaSettings
    from cj_pipeline.traces.scenario import Scenario


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """A finished capture. counts: messages by what became of them; their sum is `read`."""

    folder: Path
    sha256: str
    provenance: Provenance
    read: int
    counts: dict[str, int]
    missing: tuple[str, ...]
    ending: str

    @property
    def scenario_id(self) -> str:
        """The trace's name."""
        return self.provenance.scenario_id

    @property
    def partial(self) -> bool:
        """Whether something that was asked for is not in the trace."""
        return bool(self.missing)


def capture(
    request: CaptureRequest,
    kafka: KafkaSettings | None,
    *,
    progress: Progress | None = None,
    stop: Event | None = None,
) -> CaptureResult:
    """Capture callbacks into the folder `request.target`, which is there afterwards, whole, or not at all.

    kafka: None is enough for Beginning.FINISH. progress: called some five times a second. stop: set by anybody, it
    ends the reading; what was taken is kept as a draft.

    Raises BadInput for a request that cannot be meant, a target or a draft in the way, and choices that do not fit the
    callbacks; CannotCapture when the topic cannot be read, or holds nothing that was asked for; CaptureStopped.
    Whatever it raises after reading has begun, the draft is kept for Beginning.RESUME and FINISH.
    """
    require_usable(request)
    require_choices(request.choices)
    with TraceDraft.open(request.target, request.beginning, request.redaction, keep_raw=request.keep_raw) as draft:
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
            reading = Course(request, draft, source, owner, kafka, progress, stop).run()
        return _publish(request, draft, owner, reading)


def _claim(request: CaptureRequest, draft: TraceDraft, source: TopicSource) -> Owner:
    """The draft's owner: this request, over what the topic holds now, or held when the draft was begun."""
    cluster_id, partitions = source.partitions()
    identity = identity_of(request, cluster_id)
    if draft.owner is not None:
        return draft.claim(identity, {})
    ranges = source.ranges(partitions)
    firsts = _firsts(request, source, ranges)
    ends = {str(number): found.high for number, found in ranges.items()}
    frame = {"firsts": {str(number): first for number, first in firsts.items()}, "ends": ends}
    return draft.claim(identity, frame | {"expected_count": request.limits.expected_count})


def _firsts(request: CaptureRequest, source: TopicSource, ranges: Mapping[int, Range]) -> dict[int, int]:
    since_ms = request.selection.since_ms
    if since_ms is None:
        return {number: found.low for number, found in ranges.items()}
    return {
        number: ranges[number].high if offset is None else offset
        for number, offset in source.offsets_at(since_ms, ranges).items()
    }


def _finish(request: CaptureRequest, draft: TraceDraft) -> CaptureResult:
    """Publish what a draft has."""
    owner = draft.owner
    if owner is None:
        raise BadInput("there is no unfinished capture of this name.", path=draft.folder)
    _require_same_redaction(request, draft, owner)
    states = {number: state for number in draft.lanes() if (state := read_state(draft.folder, number)) is not None}
    for number, first in owner.frame["firsts"].items():
        states.setdefault(int(number), LaneState(first, first))
    limits = request.limits
    if limits.expected_count is None:
        # What was expected when the draft was begun is still what the trace is held against.
        limits = replace(limits, expected_count=owner.frame.get("expected_count"))
    return _publish(request, draft, owner, Reading(states, Ending.STOPPED, limits))


def _require_same_redaction(request: CaptureRequest, draft: TraceDraft, owner: Owner) -> None:
    """A finished draft needs the names that its callbacks have; its provenance must say what was done to them."""
    asked = identity_of(request, "")
    for name in ("key_id", "justifications", "allowed_keys", "keep_raw"):
        if asked[name] != owner.identity.get(name):
            raise BadInput(
                "is not what the unfinished capture was begun with.",
                path=draft.folder,
                field=name,
                remedy="Finish it with the same --key, --justifications, --keep-raw or --no-redact as it was begun.",
            )


def _publish(request: CaptureRequest, draft: TraceDraft, owner: Owner, reading: Reading) -> CaptureResult:
    topic = str(owner.identity["topic"])

    def describe(findings: Findings) -> tuple[Scenario, str, Provenance]:
        facts = TraceFacts(
            essays=findings.essays,
            comparisons=findings.comparisons,
            first=findings.first,
            started_at=findings.started_at,
            title=f"captured from {topic}, {findings.started_at:%Y-%m-%d}",
            callback_topic=topic,
        )
        scenario = captured_scenario(request.scenario_id, facts, request.choices, request.redaction)
        return scenario, f"Captured from {topic}.", _provenance(request, owner, reading, findings)

    try:
        publish(draft, reading.states, describe)
    except NothingTaken:
        read = sum(state.read for state in reading.states.values())
        fates = {fate.value: sum(s.fates[fate] for s in reading.states.values()) for fate in Fate}
        others = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in fates.items() if count)
        # A draft of nothing helps nobody, and would stand in the way of the next attempt.
        draft.discard()
        raise CannotCapture(
            f"none of the {read} messages of '{topic}' is what was asked for{f' ({others})' if others else ''}. "
            "Check the batch id, the topic and the time; no trace was made."
        ) from None
    except BaseException:
        draft.checkpoint(reading.states)
        raise
    return _result(request.target)


def _provenance(request: CaptureRequest, owner: Owner, reading: Reading, findings: Findings) -> Provenance:
    redaction = request.redaction
    captured = capture_provenance(owner, reading, findings)
    return Provenance(
        scenario_id=request.scenario_id,
        origin=TraceOrigin.CAPTURED,
        statement=(
            "Callbacks as a Kafka topic held them, in the order of timestamps, partitions and offsets; of several for "
            "one request the first. "
            + (
                "Nothing was taken out."
                if redaction is None
                else "Names and texts of pupils were replaced before anything was written; the rest is as it was."
            )
        ),
        sources=(f"kafka topic {captured.topic}, cluster {captured.cluster_id}",),
        generated_by="cj-pipeline traces capture",
        recorded_at=owner.began_at,
        fields={"*": FieldProvenance(origin=FieldOrigin.RECORDED, note="as it came off the topic")},
        redaction=None
        if redaction is None
        else RedactionProvenance(
            policy=redaction.policy,
            key_id=redaction.pseudonyms.key_id,
            dropped=findings.dropped,
            raw_quarantine_kept=request.keep_raw,
        ),
        capture=captured,
    )


def _result(folder: Path) -> CaptureResult:
    """Of a trace that is at its place; its callbacks are not read."""
    provenance = read_provenance(folder)
    captured = provenance.capture
    if captured is None:
        raise BadInput("is there already, and was not captured.", path=folder)
    sums = (line.partition("  ") for line in (folder / CHECKSUM_FILE).read_text(encoding="utf-8").splitlines())
    return CaptureResult(
        folder=folder,
        sha256=next(digest for digest, _, name in sums if name == CALLBACKS_FILE),
        provenance=provenance,
        read=captured.read,
        counts=captured.counts,
        missing=captured.missing,
        ending=captured.ending,
    )
