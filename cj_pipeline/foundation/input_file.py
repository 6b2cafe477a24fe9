"""This module opens files that users name: files and nothing else, of limited size where they are read as a whole."""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from io import BufferedReader
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput

# A document that is read as a whole. The largest of ours, the provenance of 5,000 essays, has 2 MB.
MOST_BYTES = 256 * 2**20

# An archive of 1 MB can unpack to 1 GB of blanks, which the readers of Word and Excel would hold at once.
MOST_UNPACKED_BYTES = 512 * 2**20

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def open_input(path: Path) -> BufferedReader:
    """Open a file for reading, without waiting for anybody.

    Raises BadInput for a pipe, a device or a socket, which may never end, and OSError as `open` does.
    """
    # Without O_NONBLOCK the call itself waits until somebody opens the other end of a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")  # noqa: PTH123 - a descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    kind = next((name for test, name in _KINDS if test(mode)), "no file")
    raise BadInput(f"is {kind}.", path=path, remedy="Name a file; what a pipe holds can be saved as one.")


def read_input(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Return the bytes of a file. Raises BadInput as `open_input` does, and for a file that is longer."""
    with open_input(path) as file:
        content = file.read(most_bytes + 1) if os.fstat(file.fileno()).st_size <= most_bytes else None
    if content is None or len(content) > most_bytes:
        raise BadInput(f"longer than {most_bytes // 2**20} MiB.", path=path, remedy="Is it the file you mean?")
    return content


def refuse_large_archive(path: Path) -> None:
    """Refuse a ZIP archive, as Word and Excel files are, whose parts are too large. Raises BadInput, BadZipFile."""
    with open_input(path) as file, zipfile.ZipFile(file) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    if unpacked > MOST_UNPACKED_BYTES:
        raise BadInput(
            f"unpacks to {unpacked / 2**20:,.0f} MiB; at most {MOST_UNPACKED_BYTES // 2**20} are read.",
            path=path,
            remedy="Is it the file you mean?",
        )
