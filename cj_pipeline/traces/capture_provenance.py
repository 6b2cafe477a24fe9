"""This module holds the `capture` part of provenance.json: where callbacks were read, and what became of each."""

from __future__ import annotations

from pydantic import AwareDatetime

from cj_pipeline.contracts.model import FileModel


class PartitionRead(FileModel):
    """How far one partition was read. Offsets; none of the ends is included."""

    partition: int
    first_offset: int
    """Of the first message that was wanted."""
    end_offset: int
    """What the partition held by the broker's high watermark when the capture began; when it ended, for one that went
    on after that end and met an open transaction."""
    next_offset: int
    """Read up to here."""
    last_taken: int | None = None
    """Of the last callback in the trace; None where there is none."""
    gone: tuple[tuple[int, int], ...] = ()
    """From, to: deleted by the cluster before they were read."""


class CaptureProvenance(FileModel):
    """One capture."""

    cluster_id: str
    """As the cluster calls itself; no host name."""
    topic: str
    partitions: tuple[PartitionRead, ...]
    selection: dict[str, str | tuple[str, ...]]
    """What was asked for, by condition; ids as the trace has them."""
    began_at: AwareDatetime
    finished_at: AwareDatetime
    ending: str
    """Why reading stopped."""
    expected_count: int | None = None
    read: int
    """Messages; the sum of `counts`."""
    counts: dict[str, int]
    """Messages by what became of them; each is in exactly one."""
    partial: bool
    missing: tuple[str, ...] = ()
    """What was asked for and is not in the trace, a sentence each."""
    held_against: str | None = None
    """What makes it whole; None where nobody but the reader chose an end: then it is as far as was seen."""
