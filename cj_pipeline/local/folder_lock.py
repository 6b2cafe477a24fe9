"""This module lets one process at a time use a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cj_pipeline.foundation.file_lock import file_lock
from cj_pipeline.local.programs import CannotStart


@contextmanager
def folder_lock(file: Path, *, in_use: str | None = None) -> Iterator[None]:
    """Hold a lock file, which is made with its folder; the lock ends with the process, however that ends.

    in_use: raise CannotStart with this sentence when another process holds it; None waits for that process.
    """
    with file_lock(file, wait=in_use is None) as held:
        if not held:
            raise CannotStart(in_use or "")
        yield
