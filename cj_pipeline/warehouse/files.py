"""This module writes a file whole: a reader sees the old one or the new one, and a killed writer changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar
from uuid import uuid4

from cj_pipeline.foundation.data_path import DataPath, is_remote
from cj_pipeline.foundation.disk import disk_errors
from cj_pipeline.foundation.errors import BadInput

if TYPE_CHECKING:
    from upath import UPath

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}(\.wal)?")
"""The second ending is DuckDB's."""


AnyPath = TypeVar("AnyPath", bound="DataPath")


def replace_whole(path: AnyPath, write: Callable[[Path], object]) -> AnyPath:
    """Write a file under a name of its own beside `path`, and rename it to that. Raises DiskError.

    On object storage, where nothing is renamed, the file is written here and sent as one object.
    """
    place: DataPath = path
    if is_remote(place):
        _replace_there(place, write)
    else:
        _replace_here(place, write)
    return path


def _replace_here(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            temporary.replace(path)
        finally:
            with suppress(OSError):  # the error that is on its way says more
                temporary.unlink()


def rename(source: DataPath, target: DataPath) -> None:
    """Give a file its final name. On object storage the object is copied, and the old one stays for `prune`.

    Raises FileNotFoundError where there is none.
    """
    if is_remote(source) and is_remote(target):
        source.fs.cp_file(source.path, target.path)
    elif isinstance(source, Path) and isinstance(target, Path):
        source.replace(target)
    else:
        raise ValueError(f"{source} and {target} are not in one place")


def read_whole(path: DataPath) -> bytes:
    """Return the content of a file, all of one version of it. Raises FileNotFoundError where there is none."""
    if not is_remote(path):
        return path.read_bytes()
    from cj_pipeline.warehouse.object_storage import read_versioned

    found = read_versioned(path)
    if found is None:
        raise FileNotFoundError(str(path))
    return found[0]


def is_there(path: DataPath) -> bool:
    """Return whether there is such a file."""
    if not is_remote(path):
        return path.is_file()
    from cj_pipeline.warehouse.object_storage import exists

    return exists(path)


@contextmanager
def readable(path: DataPath) -> Iterator[Path | IO[bytes]]:
    """Give what Arrow reads a file from: the path, or the opened object, of which all parts are of one version."""
    if is_remote(path):
        with path.open("rb") as file:
            yield file
    else:
        yield path


def _replace_there(path: UPath, write: Callable[[Path], object]) -> None:
    from cj_pipeline.warehouse.object_storage import upload

    with tempfile.TemporaryDirectory(prefix="cj-pipeline-") as folder:
        here = Path(folder) / path.name
        write(here)
        upload(path, here)


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
