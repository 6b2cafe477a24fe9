"""This module says in words what the system refused of a file: which file, why, and what to do."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MAKE_ROOM = "Make room, and run it again."
_MAY_NOT = "Choose another place, or give this user the right to it."

# By the error of the system. What is missing is for its reader to explain, who knows what it is.
_REMEDIES = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EFBIG: "Raise the limit of the size of files (`ulimit -f`), and run it again.",
    errno.EROFS: "Choose another place, or mount it for writing.",
    errno.EACCES: _MAY_NOT,
    errno.EPERM: _MAY_NOT,
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`), and run it again.",
    errno.ENFILE: "Close other programs, or raise the machine's limit of open files.",
    errno.ENAMETOOLONG: "Choose a shorter one.",
    errno.ENOTDIR: "A part of the path is a file; choose another place, or move that file away.",
    errno.EISDIR: "Choose another name, or move the folder away.",
    errno.EEXIST: "Move away what is there (a link that leads nowhere, too), or choose another place.",
    errno.ELOOP: "Its links lead to each other; mend them, or choose another place.",
    errno.EIO: "The device has an error; look into the system's log.",
}


class DiskError(OSError):
    """What the system refused, with the file and a remedy in its text. It remains the OSError that it is."""

    def __str__(self) -> str:
        return os_error_sentence(self)


def os_error_sentence(error: OSError) -> str:
    """Return an error of the system as a sentence: the file where one is known, the problem, what to do.

    >>> os_error_sentence(OSError(errno.EROFS, "Read-only file system", "/mnt/a.json"))
    '/mnt/a.json: Read-only file system. Choose another place, or mount it for writing.'
    """
    place = os.fsdecode(error.filename) if error.filename else ""
    problem = error.strerror or OSError.__str__(error)
    if error.errno == errno.ENOSPC and place:
        problem += _free(Path(place))
    remedy = _REMEDIES.get(error.errno or 0, "")
    return (f"{place}: " if place else "") + f"{problem.rstrip('.')}. {remedy}".rstrip()


def is_of_disk(error: BaseException) -> bool:
    """Return whether an error is one that the system gives of files, folders and devices, and no damaged content."""
    return isinstance(error, OSError) and error.errno in _REMEDIES


def is_misplaced(error: OSError) -> bool:
    """Return whether a folder is in the place of a file, a file in that of its folder, or a link leads to no file."""
    if isinstance(error, FileNotFoundError):
        return bool(error.filename) and Path(os.fsdecode(error.filename)).is_symlink()
    return error.errno in {errno.EISDIR, errno.ENOTDIR, errno.ELOOP}


def disk_error_in(text: str, path: Path) -> DiskError | None:
    """Return the error of the system that a library (DuckDB) tells in a text only; None where it tells another."""
    codes = (code for code in _REMEDIES if os.strerror(code).casefold() in text.casefold())
    return next((DiskError(code, os.strerror(code), str(path)) for code in codes), None)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise what the system refuses in here as a DiskError about `path`: Arrow and `write` do not name the file."""
    try:
        yield
    except OSError as error:
        if not is_of_disk(error) or isinstance(error, DiskError):
            raise
        code = error.errno or 0
        # Not `from error`: Dagster shows the first cause, which does not name the file.
        raise DiskError(code, os.strerror(code), str(path)) from None


def _free(path: Path) -> str:
    """Return how much is free where a file would be, in words; nothing where the system does not say."""
    with suppress(OSError):
        there = next(folder for folder in path.absolute().parents if folder.exists())
        return f" ({shutil.disk_usage(there).free / 1024:,.0f} KiB free)"
    return ""
