"""What a capture says about itself when it is done: counts, what is missing, provenance.

Here: from lanes and findings to numbers and sentences. Not here: reading (reading.py), writing the files
(publishing.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.traces.capture.lane import Fate
from cj_pipeline.traces.capture.publishing import CONTRADICTION, DUPLICATE, TAKEN
from cj_pipeline.traces.capture.reading import Ending
from cj_pipeline.traces.capture_provenance import CaptureProvenance, PartitionRead

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cj_pipeline.traces.capture.draft import Owner
    from cj_pipeline.traces.capture.lane import LaneState
    from cj_pipeline.traces.capture.publishing import Findings
    from cj_pipeline.traces.capture.request import CaptureRequest, Limits


@dataclass(frozen=True, slots=True)
class Reading:
    """How reading went. open_ended: whether it was to go on after the end that the topic had at the start."""

    states: Mapping[int, LaneState]
    ending: Ending
    limits: Limits


def identity_of(request: CaptureRequest, cluster_id: str) -> dict[str, Any]:
    """What must be the same for a capture to go on with another's draft."""
    redaction = request.redaction
    return {
        "topic": request.topic,
        "cluster_id": cluster_id,
        **selection_of(request),
        "justifications": None if redaction is None else redaction.policy.justifications.value,
        "allowed_keys": None if redaction is None else list(redaction.policy.allowed_keys),
        "key_id": None if redaction is None else redaction.pseudonyms.key_id,
        "keep_raw": request.keep_raw,
    }


def selection_of(request: CaptureRequest) -> dict[str, Any]:
    """The selection as it may be written down: ids as the trace has them."""
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


SELECTION_KEYS = ("bos_batch_id", "event_type", "correlation_ids", "model", "since", "until")


def counts_of(states: Mapping[int, LaneState], findings: Findings) -> dict[str, int]:
    """Messages by what became of them. Raises AssertionError if one were in none, or in two: that is a defect."""
    counts = {TAKEN: findings.taken, DUPLICATE: findings.duplicates, CONTRADICTION: findings.contradictions}
    for fate in Fate:
        counts[fate.value] = sum(state.fates[fate] for state in states.values())
    read = messages_read(states)
    if sum(counts.values()) != read:
        raise AssertionError(f"{read} messages were read, and {sum(counts.values())} are accounted for")
    return counts


def messages_read(states: Mapping[int, LaneState]) -> int:
    """Messages, whatever became of them."""
    return sum(state.read for state in states.values())


def missing_of(reading: Reading, ends: Mapping[int, int], findings: Findings) -> tuple[str, ...]:
    """What was asked for and is not in the trace, a sentence each."""
    sentences = []
    expected = reading.limits.expected_count
    if expected is not None and findings.taken < expected:
        sentences.append(f"{expected} callbacks were expected and {findings.taken} were found ({reading.ending}).")
    for number, state in sorted(reading.states.items()):
        # A count that was reached makes what lies behind it none of this capture's business.
        if reading.ending is not Ending.COUNT_REACHED and state.next < ends.get(number, 0):
            sentences.append(
                f"Partition {number} was read up to offset {state.next} of {ends[number]} ({reading.ending})."
            )
        sentences += [
            f"Offsets {start} to {end - 1} of partition {number} were deleted by the cluster before they were read."
            for start, end in state.gone
        ]
    malformed = sum(state.malformed_matches for state in reading.states.values())
    if malformed:
        sentences.append(f"{malformed} messages name what was asked for and cannot be used; quarantine.jsonl says why.")
    return tuple(sentences)


def capture_provenance(owner: Owner, reading: Reading, findings: Findings) -> CaptureProvenance:
    """The `capture` part of the trace's provenance."""
    ends = {int(number): end for number, end in owner.frame["ends"].items()}
    missing = missing_of(reading, ends, findings)
    chosen = {name: owner.identity[name] for name in SELECTION_KEYS if owner.identity.get(name) is not None}
    return CaptureProvenance(
        cluster_id=owner.identity["cluster_id"],
        topic=owner.identity["topic"],
        partitions=tuple(
            PartitionRead(
                partition=number,
                first_offset=state.first,
                end_offset=ends.get(number, state.first),
                next_offset=state.next,
                last_taken=findings.last_positions.get(number),
                gone=tuple(state.gone),
            )
            for number, state in sorted(reading.states.items())
        ),
        selection={name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()},
        began_at=owner.began_at,
        finished_at=utc_now(),
        ending=reading.ending.value,
        expected_count=reading.limits.expected_count,
        read=messages_read(reading.states),
        counts=counts_of(reading.states, findings),
        partial=bool(missing),
        missing=missing,
    )
