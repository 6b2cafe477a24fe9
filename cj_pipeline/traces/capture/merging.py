"""The lines of a finished trace, out of the lanes of its draft.

Here: reading records together, writing lines in their order with a digest, what they add up to. Not here: the order
itself (index.py), the other files of the trace (publishing.py).

Nothing here holds more of the lines than a block; figures come from the records. Where one lane is the whole trace, as
it stands, its file is the trace's: a second name for it, and not a second copy.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle
from mmap import mmap
from typing import TYPE_CHECKING, Self

import numpy as np

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.foundation.numbers import percentile_rank
from cj_pipeline.traces.capture.block_file import BlockFile
from cj_pipeline.traces.capture.index import (
    OUTCOME_A,
    OUTCOME_B,
    OUTCOME_ERROR,
    IntArray,
    Records,
    Sequencing,
    sequence,
)
from cj_pipeline.traces.capture.lane import LaneFile, LaneState, lane_path, read_names, read_records
from cj_pipeline.traces.provenance import file_sha256
from cj_pipeline.traces.summary import (
    ERROR_LABEL,
    LatencySummary,
    Spread,
    Summary,
    TokenSummary,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Lines are copied in blocks of about so many bytes; hashing one takes as long as copying the next.
BLOCK_BYTES = 1 << 20

# Read at once of a lane. Not mapped into memory: a trace's pages would count as the memory of this process.
WINDOW_BYTES = 1 << 18

_RUNS_AT_ONCE = 10_000

# Sums of so many figures below 2^63 / this cannot leave 64 bits.
_MOST_SUMMED = 1 << 30

_LABELS = {OUTCOME_A: Winner.A.value, OUTCOME_B: Winner.B.value, OUTCOME_ERROR: ERROR_LABEL}


@dataclass(frozen=True, slots=True)
class LaneShare:
    """A lane as far as it goes into the trace."""

    number: int
    state: LaneState
    records: Records
    essays: list[str]
    codes: list[str]


class Merger:
    """The lanes of one draft, put into the order of the trace."""

    def __init__(self, folder: Path, states: Mapping[int, LaneState]) -> None:
        self._folder = folder
        self.shares = [
            LaneShare(
                number,
                states[number],
                read_records(folder, number, states[number]),
                read_names(folder, number, LaneFile.ESSAYS, states[number]),
                read_names(folder, number, LaneFile.CODES, states[number]),
            )
            for number in sorted(states)
        ]
        self.sequencing: Sequencing = sequence([share.records for share in self.shares])
        self._starts = np.cumsum([0, *(len(share.records) for share in self.shares)])

    def __len__(self) -> int:
        """Callbacks in the trace."""
        return len(self.sequencing.kept)

    def write_lines(self, path: Path) -> str:
        """Put the lines of the trace there; their SHA-256 in lower-case hex.

        What is there may be the file of a lane: whoever writes to that later takes a copy first (Lane does).
        """
        share = self._only_share()
        if share is not None and self._linked(share, path):
            return file_sha256(path)
        digest = sha256()
        size = sum(share.state.lengths[LaneFile.LINES] for share in self.shares)
        with BlockFile(path, size) as file, ThreadPoolExecutor(1, "sha256") as hashing:
            pending: Future[None] | None = None
            for block in self._blocks():
                if pending is not None:
                    pending.result()
                pending = hashing.submit(digest.update, block)
                file.write(block)
            if pending is not None:
                pending.result()
        return digest.hexdigest()

    def _only_share(self) -> LaneShare | None:
        """The lane whose lines are the trace's, all and in their order; None where it takes more than one."""
        filled = [share for share in self.shares if len(share.records)]
        kept = self.sequencing.kept
        if len(filled) != 1 or len(kept) != len(filled[0].records) or bool((kept[1:] < kept[:-1]).any()):
            return None
        return filled[0]

    def _linked(self, share: LaneShare, path: Path) -> bool:
        """Whether the lane's file could be given a second name; some file systems have one name a file."""
        lines = lane_path(self._folder, share.number, LaneFile.LINES)
        length = int(share.records["length"].sum(dtype=np.int64))
        if lines.stat().st_size < length:
            # Copying says what is wrong; cutting to a length would fill it up with zeros.
            return False
        # What lies beyond the checkpoint is no part of the lane, and gone with its next opening.
        os.truncate(lines, length)
        try:
            os.link(lines, path)
        except OSError:
            return False
        return True

    def line(self, index: int) -> bytes:
        """One line of a record, with its newline."""
        lane, position = self.where(index)
        records = self.shares[lane].records
        start = int(records["length"][:position].sum(dtype=np.int64))
        with lane_path(self._folder, self.shares[lane].number, LaneFile.LINES).open("rb") as file:
            file.seek(start)
            return file.read(int(records["length"][position]))

    def where(self, index: int) -> tuple[int, int]:
        """Of a record counted over all lanes: place of its lane in `shares`, and its own place there."""
        lane = int(np.searchsorted(self._starts, index, side="right")) - 1
        return lane, index - int(self._starts[lane])

    def essays(self) -> tuple[str, ...]:
        """Essays of the trace's callbacks, sorted."""
        found: set[str] = set()
        for share, kept in self._kept():
            for column in ("essay_a", "essay_b"):
                found.update(share.essays[place] for place in np.unique(share.records[column][kept]).tolist())
        return tuple(sorted(found))

    def comparisons(self) -> int:
        """Different correlation ids of the trace."""
        ids = [share.records["correlation"][kept] for share, kept in self._kept()]
        return len(np.unique(np.concatenate(ids))) if ids else 0

    def last_positions(self) -> dict[int, int]:
        """By lane, the position of the last callback in the trace; a lane without one is left out."""
        return {share.number: int(share.records["position"][kept].max()) for share, kept in self._kept() if kept.any()}

    def summary(self, scenario_id: str) -> Summary:
        """As traces.summary.summarise makes it of the same callbacks."""
        outcomes: Counter[int] = Counter()
        codes: Counter[str] = Counter()
        for share, kept in self._kept():
            values, counts = np.unique(share.records["outcome"][kept], return_counts=True)
            outcomes.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            values, counts = np.unique(share.records["error_code"][kept], return_counts=True)
            for value, count in zip(values.tolist(), counts.tolist(), strict=True):
                if value:
                    codes[share.codes[value - 1]] += count
        total = len(self)
        return Summary(
            scenario_id=scenario_id,
            total_events=total,
            success_count=total - outcomes[OUTCOME_ERROR],
            error_count=outcomes[OUTCOME_ERROR],
            winner_counts={_LABELS[o]: outcomes[o] for o in (OUTCOME_A, OUTCOME_B, OUTCOME_ERROR) if outcomes[o]},
            error_code_counts=dict(sorted(codes.items())),
            response_time_ms=_latency(self._figures("response_time_ms")),
            token_usage=TokenSummary(
                prompt_tokens=_spread(self._figures("prompt_tokens")),
                completion_tokens=_spread(self._figures("completion_tokens")),
                total_tokens=_spread(self._figures("total_tokens")),
            ),
        )

    def _figures(self, column: str) -> IntArray:
        return np.concatenate([share.records[column][kept] for share, kept in self._kept()] or [np.empty(0, np.int64)])

    def _kept(self) -> Iterator[tuple[LaneShare, np.ndarray[tuple[int], np.dtype[np.bool_]]]]:
        """Lanes, each with which of its records are in the trace."""
        kept = np.zeros(int(self._starts[-1]), np.bool_)
        kept[self.sequencing.kept] = True
        for place, share in enumerate(self.shares):
            yield share, kept[self._starts[place] : self._starts[place + 1]]

    def _blocks(self) -> Iterator[memoryview]:
        """The bytes of the trace, block by block; one may be read until the next but one is asked for."""
        with ExitStack() as stack:
            windows = [stack.enter_context(_Window(self._folder, share)) for share in self.shares]
            # The same memory again and again: fresh pages for every block took longer than the hashing.
            blocks = cycle((memoryview(mmap(-1, BLOCK_BYTES)), memoryview(mmap(-1, BLOCK_BYTES))))
            block, filled = next(blocks), 0
            for lane, start, end in self._runs():
                while start < end:
                    size = min(end - start, BLOCK_BYTES - filled, WINDOW_BYTES)
                    block[filled : filled + size] = windows[lane].part(start, size)
                    start += size
                    filled += size
                    if filled == BLOCK_BYTES:
                        yield block
                        block, filled = next(blocks), 0
            if filled:
                yield block[:filled]

    def _runs(self) -> Iterator[tuple[int, int, int]]:
        """(lane, start, end): neighbours in the trace that are neighbours in their file are copied as one."""
        kept = self.sequencing.kept
        lanes = np.searchsorted(self._starts, kept, side="right") - 1
        lengths = [share.records["length"].astype(np.int64) for share in self.shares]
        ends = np.concatenate([np.cumsum(length) for length in lengths])[kept]
        starts = ends - np.concatenate(lengths)[kept]
        apart = np.flatnonzero((lanes[1:] != lanes[:-1]) | (starts[1:] != ends[:-1])) + 1
        first, last = np.r_[0, apart], np.r_[apart - 1, len(ends) - 1]
        # A few at a time as Python's own numbers: where no two lines are neighbours, there are as many runs as lines.
        for at in range(0, len(first), _RUNS_AT_ONCE):
            some = slice(at, at + _RUNS_AT_ONCE)
            yield from zip(
                lanes[first[some]].tolist(), starts[first[some]].tolist(), ends[last[some]].tolist(), strict=True
            )


class _Window:
    """A lane's lines, of which a stretch is in memory: they are wanted nearly in the order in which they lie."""

    def __init__(self, folder: Path, share: LaneShare) -> None:
        self._file = lane_path(folder, share.number, LaneFile.LINES).open("rb", buffering=0)
        self._content = memoryview(bytearray(WINDOW_BYTES))
        self._from = 0
        self._size = 0

    def part(self, start: int, size: int) -> memoryview:
        """Some bytes, at most WINDOW_BYTES; good until the next call."""
        if start < self._from or start + size > self._from + self._size:
            self._from = start
            self._size = os.preadv(self._file.fileno(), [self._content], start)
        return self._content[start - self._from : start - self._from + size]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _latency(values: IntArray) -> LatencySummary:
    ordered = np.sort(values)
    return LatencySummary(
        min_ms=float(ordered[0]) if len(ordered) else 0.0,
        mean_ms=_mean(values),
        p50_ms=_percentile(ordered, 50),
        p95_ms=_percentile(ordered, 95),
        p99_ms=_percentile(ordered, 99),
        max_ms=float(ordered[-1]) if len(ordered) else 0.0,
    )


def _percentile(ordered: IntArray, p: float) -> float:
    """As traces.summary.percentile, of values that are sorted already, in Python's own arithmetic: the same bits."""
    if not len(ordered):
        return 0.0
    below, fraction = percentile_rank(len(ordered), p)
    above = min(below + 1, len(ordered) - 1)
    low, high = int(ordered[below]), int(ordered[above])
    return low + (high - low) * fraction


def _spread(values: IntArray) -> Spread:
    if not len(values):
        return Spread(min=0.0, mean=0.0, max=0.0)
    return Spread(min=float(values.min()), mean=_mean(values), max=float(values.max()))


def _mean(values: IntArray) -> float:
    if not len(values):
        return 0.0
    small = int(values.max()) < (1 << 63) // _MOST_SUMMED and len(values) < _MOST_SUMMED
    total = int(values.sum()) if small else sum(values.tolist())
    return total / len(values)
