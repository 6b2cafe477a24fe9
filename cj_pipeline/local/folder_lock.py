"""This module lets one process at a time use a folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cj_pipeline.local.programs import CannotStart


@contextmanager
def folder_lock(file: Path, *, in_use: str | None = None) -> Iterator[None]:
    """Hold a lock file, which is made with its folder; the lock ends with the process, however that ends.

    in_use: raise CannotStart with this sentence when another process holds it; None waits for that process.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if in_use is None else fcntl.LOCK_NB))
        except BlockingIOError:
            raise CannotStart(in_use or "") from None
        yield
