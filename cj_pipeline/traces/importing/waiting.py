"""Callbacks that wait for their turn: read in the order of files, wanted in the order of time.

Here: their bytes in a file without a name, their places in arrays. Not here: reading them (json_folder.py).

The file is in memory while it is small. It has no name on disk, so it ends with the process, whatever ends that.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cj_pipeline.contracts.callback import Rejection
from cj_pipeline.traces.importing.source import Found

# Time of what has none: behind everything else.
LAST = 2**63 - 1

_IN_MEMORY = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class NumberedFile:
    """One file of several. name: relative to their folder; number: from 1, in the order of names."""

    name: str
    number: int
    of: int

    def found(self, raw: bytes, line: int, refused: Rejection | None) -> Found:
        """Something that stands in it. line: 1-based."""
        return Found(raw, f"{self.name}:{line}", f"file {self.number} of {self.of}, line {line}", refused)


class Waiting:
    """A queue that is filled, gone through once in order, and closed."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._times, self._starts, self._lengths = array("q"), array("q"), array("q")
        self._files, self._lines = array("q"), array("q")
        self._end = 0

    def __len__(self) -> int:
        return len(self._times)

    def add(self, raw: bytes, completed_us: int, file: int, line: int) -> None:
        """Add one. completed_us: microseconds since 1970, or LAST; file: its place among the files."""
        self._times.append(completed_us)
        self._starts.append(self._end)
        self._lengths.append(len(raw))
        self._files.append(file)
        self._lines.append(line)
        self._end += self._file.write(raw)

    def in_order(self, files: Sequence[NumberedFile], refused: Mapping[int, Rejection]) -> Iterator[Found]:
        """All of them by time; of equal times in the order in which they were added. refused: by that order."""
        at = -1
        for position in np.argsort(np.array(self._times, dtype=np.int64), kind="stable").tolist():
            # Most stand in order already; a needless seek would throw away what was read ahead.
            if at != self._starts[position]:
                self._file.seek(self._starts[position])
            raw = self._file.read(self._lengths[position])
            at = self._starts[position] + len(raw)
            yield files[self._files[position]].found(raw, self._lines[position], refused.get(position))

    def close(self) -> None:
        """Let the bytes go."""
        self._file.close()
