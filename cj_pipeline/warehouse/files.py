"""This module writes a file whole: a reader sees the old one or the new one, and a killed writer changes nothing."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from cj_pipeline.foundation.disk import disk_errors
from cj_pipeline.foundation.errors import BadInput

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}(\.wal)?")
"""The second ending is DuckDB's."""


def replace_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file under a name of its own beside `path`, and rename it to that. Raises DiskError."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            temporary.replace(path)
        finally:
            with suppress(OSError):  # the error that is on its way says more
                temporary.unlink()
    return path


def abandoned_files(root: Path) -> list[Path]:
    """Return what writers that were killed have left below a data folder; or are writing. Folders of runs are not read.

    Those of runs that broke off are removed whole.
    """
    places = (path for pattern in (".*", "*/.*", "*/*/.*") for path in root.glob(pattern))
    return [path for path in places if _TEMPORARY.fullmatch(path.name) and path.is_file()]


def create_whole(path: Path, write: Callable[[Path], object]) -> bool:
    """Write a file as `replace_whole` does, unless there is one already; return whether there was none.

    Raises DiskError. Of two processes that create the same file at once, one does.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        finally:
            with suppress(OSError):
                temporary.unlink()
    return True


def write_output(path: Path, content: str | bytes) -> Path:
    """Write a file whole where a user asked for it, in a folder that is there. Raises BadInput, DiskError.

    A link is followed. A pipe or a device, such as `/dev/stdout`, is written to.
    """
    data = content.encode() if isinstance(content, str) else content
    target = Path(os.path.realpath(path))
    with disk_errors(path):
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return path
        if not target.parent.is_dir():
            raise BadInput("there is no such folder.", path=target.parent, remedy="Make it, or name another.")
    replace_whole(target, lambda temporary: _write(temporary, data, target))
    return path


def _write(temporary: Path, data: bytes, target: Path) -> None:
    temporary.write_bytes(data)
    if target.exists():  # who may read it, may read the new one
        shutil.copymode(target, temporary)
