"""Checkpoints of several lanes, written while reading goes on.

Here: when a checkpoint is due, and the thread that waits for the disk. Not here: what one says (lane.py).
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cj_pipeline.traces.capture.lane import Lane, Mark

# A kill costs at most so much reading again. A capture of a million callbacks that is done in 4 s writes one or two.
CHECKPOINT_SECONDS = 2.0


class Checkpoints:
    """The checkpoints of some lanes, which may grow in number. `close` when reading ends."""

    def __init__(self, folder: Path, lanes: Mapping[int, Lane]) -> None:
        self._folder = folder
        self._lanes = lanes
        self._thread: ThreadPoolExecutor | None = None
        self._saving: Future[None] | None = None
        self._last = monotonic()

    def save_when_due(self) -> None:
        """Begin a checkpoint when the last one is old; the disk is waited for elsewhere."""
        if monotonic() - self._last < CHECKPOINT_SECONDS:
            return
        if self._saving is not None:
            if not self._saving.done():
                return
            self._saving.result()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "checkpoint")
        marks = [mark for lane in self._lanes.values() if (mark := lane.mark()) is not None]
        self._saving = self._thread.submit(self._save, marks)
        self._last = monotonic()

    def save(self) -> None:
        """Make everything last that was read, and return when it is."""
        self.close()
        self._save([mark for lane in self._lanes.values() if (mark := lane.mark()) is not None])

    def close(self) -> None:
        """Wait for the disk. Raises what writing raised."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        if self._saving is not None:
            saving, self._saving = self._saving, None
            saving.result()

    def _save(self, marks: list[Mark]) -> None:
        for mark in marks:
            mark.save()
        if marks:
            sync_folder(self._folder)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
