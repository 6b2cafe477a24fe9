"""A file that is written once, from its beginning to its end, in large blocks.

Here: writing past the page cache, where the file is large and the file system can. Not here: what is written
(merging.py), making it last (publishing.py).

A large trace would push everything else out of the machine's memory, a second time after its draft, and nobody reads a
gigabyte again at once. On a virtual machine whose memory is given to it page by page the cache was also what a capture
waited for: 1 GB took 5.0 s, 3.1 s of them in the kernel, and 1.1 s without it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

# A smaller file is likely to be read soon, and is no burden.
LARGE_BYTES = 256 << 20

# A multiple of every disk's sector; what is no multiple of it goes through the cache.
SECTOR_BYTES = 4096

# 0 where the system has no such thing.
_DIRECT: int = getattr(os, "O_DIRECT", 0)


class BlockFile:
    """One new file, or one that is written anew. A context manager. size: bytes that are to come, about."""

    def __init__(self, path: Path, size: int) -> None:
        wanted = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        self._direct = bool(_DIRECT) and size >= LARGE_BYTES
        try:
            self._descriptor = os.open(path, wanted | (_DIRECT if self._direct else 0), 0o644)
        except OSError as error:
            if not self._direct or error.errno != errno.EINVAL:
                raise
            self._direct = False
            self._descriptor = os.open(path, wanted, 0o644)

    def write(self, block: memoryview) -> None:
        """Append a block whose memory begins where a page does, as an anonymous mmap's."""
        while block:
            if self._direct and len(block) % SECTOR_BYTES:
                self._through_the_cache()
            try:
                written = os.write(self._descriptor, block)
            except OSError as error:
                # Some file systems say only now that they cannot.
                if not self._direct or error.errno != errno.EINVAL:
                    raise
                self._through_the_cache()
            else:
                block = block[written:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def _through_the_cache(self) -> None:
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags & ~_DIRECT)
        self._direct = False
