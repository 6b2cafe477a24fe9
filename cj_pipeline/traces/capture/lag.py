"""This module says how far the captures that we have are behind a topic.

A capture reads on to some offset of each partition and takes of that what it was asked for. Messages after the furthest
such offset have been seen by none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.capture.source import Range
from cj_pipeline.traces.capture_provenance import CaptureProvenance
from cj_pipeline.traces.provenance import read_provenance
from cj_pipeline.traces.store import TraceStore


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition. Offsets as Kafka counts them.

    low, high: what it holds, high not included; captured_to: one past the furthest message that a capture read, None
    when none read any; behind: offsets that are there and that no capture read.
    """

    partition: int
    low: int
    high: int
    captured_to: int | None
    behind: int


def lag(
    cluster_id: str, topic: str, ranges: Mapping[int, Range], captures: Iterable[CaptureProvenance]
) -> tuple[PartitionLag, ...]:
    """Return one row a partition, by number. Captures of other topics and other clusters do not count."""
    furthest: dict[int, int] = {}
    for capture in captures:
        if (capture.cluster_id, capture.topic) == (cluster_id, topic):
            for share in capture.partitions:
                furthest[share.partition] = max(share.next_offset, furthest.get(share.partition, 0))
    return tuple(_behind(number, held, furthest.get(number)) for number, held in sorted(ranges.items()))


def _behind(number: int, held: Range, captured_to: int | None) -> PartitionLag:
    # Read beyond its end: the topic was deleted and made again, and nothing of this one was read.
    read_to = held.low if captured_to is None or captured_to > held.high else max(held.low, captured_to)
    return PartitionLag(number, held.low, held.high, captured_to, behind=held.high - read_to)


def captures_in(root: Path) -> Iterator[CaptureProvenance]:
    """Yield where the captured traces of a folder come from. A trace whose provenance cannot be read is left out."""
    for scenario_id in TraceStore(root).scenario_ids():
        try:
            provenance = read_provenance(root / scenario_id)
        except (BadInput, OSError):
            continue
        if provenance.capture is not None:
            yield provenance.capture
