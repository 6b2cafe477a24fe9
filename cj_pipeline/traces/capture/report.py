"""This module says what a finished capture holds: its identity, its counts, what is missing, its provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.traces.capture.progress import messages_read
from cj_pipeline.traces.capture.reading import Ending
from cj_pipeline.traces.capture_provenance import CaptureProvenance, PartitionRead
from cj_pipeline.traces.completeness import END_OF_TOPIC, EXPECTED_COUNT
from cj_pipeline.traces.message_filter import MessageOutcome

if TYPE_CHECKING:
    from cj_pipeline.traces.capture.draft import CaptureDraft, Owner
    from cj_pipeline.traces.capture.progress import PartitionProgress
    from cj_pipeline.traces.capture.request import CaptureRequest
    from cj_pipeline.traces.capture.source import Range
    from cj_pipeline.traces.draft import DraftCounts

SELECTION_KEYS = ("bos_batch_id", "event_type", "correlation_ids", "model", "since", "until")


@dataclass(frozen=True, slots=True)
class Reading:
    """How reading went.

    ends: by partition, the high watermark that it is held against. expected: callbacks. transactions: by partition,
    where an open transaction keeps its records from everybody. end_is_known: whether the broker named the ends; a
    topic that was followed and then left has none.
    """

    ending: Ending
    ends: Mapping[int, int]
    expected: int | None
    transactions: Mapping[int, int]
    end_is_known: bool = True


def identity_of(request: CaptureRequest, cluster_id: str) -> dict[str, Any]:
    """Return what must be the same for a capture to go on with another's draft."""
    redaction = request.redaction
    return {
        "topic": request.topic,
        "cluster_id": cluster_id,
        **_selection_of(request),
        "justifications": None if redaction is None else redaction.policy.justifications.value,
        "allowed_keys": None if redaction is None else list(redaction.policy.allowed_keys),
        "key_id": None if redaction is None else redaction.key_id,
        "keep_raw": request.keep_raw,
    }


def _selection_of(request: CaptureRequest) -> dict[str, Any]:
    """Return the selection as it may be written down: ids as the trace has them."""
    selection, redaction = request.selection, request.redaction
    batch, model = selection.bos_batch_id, selection.model
    if redaction is not None:
        batch = None if batch is None else redaction.batch(batch)
        model = None if model is None else redaction.model(model)
    return {
        "bos_batch_id": batch,
        "event_type": selection.event_type,
        "correlation_ids": sorted(str(correlation) for correlation in selection.correlation_ids) or None,
        "model": model,
        "since": None if selection.since is None else selection.since.isoformat(),
        "until": None if selection.until is None else selection.until.isoformat(),
    }


def open_transactions(partitions: Mapping[int, PartitionProgress], ranges: Mapping[int, Range]) -> dict[int, int]:
    """Return, by partition, where an open transaction begins behind which nothing could be read."""
    return {
        number: found.stable
        for number, found in ranges.items()
        if found.stable < found.high and partitions[number].next >= found.stable
    }


def counts_of(partitions: Mapping[int, PartitionProgress], found: DraftCounts) -> dict[str, int]:
    """Count messages by what became of them.

    Raises AssertionError if one were in none, or in two: that is a defect.
    """
    counts = {"taken": found.taken, "duplicate": found.duplicates, "contradiction": found.contradictions}
    for outcome in MessageOutcome:
        counts[outcome.value] = sum(progress.outcomes[outcome.value] for progress in partitions.values())
    read = messages_read(partitions.values())
    if sum(counts.values()) != read:
        raise AssertionError(f"{read} messages were read, and {sum(counts.values())} are accounted for")
    return counts


def missing_of(reading: Reading, partitions: Mapping[int, PartitionProgress], taken: int) -> tuple[str, ...]:
    """Say what was asked for and is not in the trace, a sentence each."""
    sentences = []
    expected = reading.expected
    if expected is not None and taken < expected:
        sentences.append(f"{expected} callbacks were expected and {taken} were found ({reading.ending}).")
    for number, progress in sorted(partitions.items()):
        # Once the count is reached, what lies behind it was not asked for.
        if reading.ending is not Ending.COUNT_REACHED:
            sentences += _unread(number, progress, reading)
        sentences += [
            f"Offsets {start} to {end - 1} of partition {number} were deleted by the cluster before they were read."
            for start, end in progress.gone
        ]
    malformed = sum(progress.malformed_matches for progress in partitions.values())
    if malformed:
        sentences.append(f"{malformed} messages name what was asked for and cannot be used; quarantine.jsonl says why.")
    return tuple(sentences)


def _unread(number: int, progress: PartitionProgress, reading: Reading) -> list[str]:
    end = reading.ends.get(number, 0)
    if progress.next >= end:
        return []
    if number in reading.transactions:
        start = reading.transactions[number]
        return [f"Partition {number}: {end - start} offsets behind an open transaction at offset {start}."]
    return [f"Partition {number} was read up to offset {progress.next} of {end} ({reading.ending})."]


def capture_provenance(draft: CaptureDraft, owner: Owner, reading: Reading) -> CaptureProvenance:
    """Return the `capture` part of the trace's provenance."""
    found = draft.callbacks.counts()
    missing = missing_of(reading, draft.partitions, found.taken)
    chosen = {name: owner.identity[name] for name in SELECTION_KEYS if owner.identity.get(name) is not None}
    last = draft.callbacks.last_positions()
    return CaptureProvenance(
        cluster_id=owner.identity["cluster_id"],
        topic=owner.identity["topic"],
        partitions=tuple(
            PartitionRead(
                partition=number,
                first_offset=progress.first,
                end_offset=reading.ends.get(number, progress.first),
                next_offset=progress.next,
                last_taken=last.get(number),
                gone=tuple(progress.gone),
            )
            for number, progress in sorted(draft.partitions.items())
        ),
        selection={name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()},
        began_at=owner.began_at,
        finished_at=utc_now(),
        ending=reading.ending.value,
        expected_count=reading.expected,
        read=messages_read(draft.partitions.values()),
        counts=counts_of(draft.partitions, found),
        partial=bool(missing),
        missing=missing,
        held_against=_held_against(reading),
    )


def _held_against(reading: Reading) -> str | None:
    if reading.expected is not None:
        return EXPECTED_COUNT
    return END_OF_TOPIC if reading.end_is_known else None
