"""This module writes a file whole: a reader sees the old one or the new one, and a killed writer changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4


def replace_whole(path: Path, write: Callable[[Path], None]) -> Path:
    """Write a file under a name of its own beside `path`, and rename it to that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def create_whole(path: Path, write: Callable[[Path], None]) -> bool:
    """Write a file as `replace_whole` does, unless there is one already; return whether there was none.

    Of two processes that create the same file at once, one does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        write(temporary)
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True
