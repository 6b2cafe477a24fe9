"""This module lets one process at a time do something, by a file that it holds locked."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(file: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file, which is made with its folder, and give whether it is held; it ends with the process.

    wait: for a process that holds it; without, the block runs all the same, and is given False.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
