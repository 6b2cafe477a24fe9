"""This module keeps arrays under the digest of what they follow from: one file an entry, below the data folder.

An entry that cannot be read is no entry, so it is computed again. Writers need no lock: each replaces a file whole.
"""

from __future__ import annotations

import logging
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.warehouse.data_root import local_folder
from cj_pipeline.warehouse.files import replace_whole

Array = npt.NDArray[Any]

CACHE_FOLDER = "cache"
MOST_BYTES = 256 * 2**20
"""About 130 comparisons of 30 gates. The entries that were not used for the longest time make room."""

_SUFFIX = ".npz"
_ABANDONED_S = 3_600.0
_UNREADABLE = (
    *(OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ContentCache:
    """Entries in one folder, which need not exist yet. most_bytes: what they may take together."""

    folder: Path
    most_bytes: int = MOST_BYTES

    def get(self, key: str) -> dict[str, Array] | None:
        """Return the arrays of an entry; None where there is none that can be read. key: a hexadecimal digest."""
        path = self._path(key)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as entry:
                arrays = {name: entry[name] for name in entry.files}
            os.utime(path)
        except FileNotFoundError:
            return None
        except _UNREADABLE as error:
            _log.warning("%s cannot be read and is computed again: %s", path, error)
            return None
        return arrays

    def put(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Write an entry, and make room for it. A folder that cannot be written costs time, and no result."""
        path = self._path(key)
        try:
            replace_whole(path, lambda temporary: _save(temporary, arrays))
            self._make_room(path)
        except OSError as error:
            _log.warning("%s is not kept: %s", path, error)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _make_room(self, newest: Path) -> None:
        """Remove the entries that were not used for the longest time, and what killed writers have left."""
        used: list[tuple[float, int, Path]] = []
        for path in self.folder.iterdir():
            try:
                found = path.stat()
            except FileNotFoundError:  # another process has removed it
                continue
            if path.suffix == _SUFFIX and not path.name.startswith("."):
                used.append((found.st_mtime, found.st_size, path))
            elif path.name.startswith(".") and utc_now().timestamp() - found.st_mtime > _ABANDONED_S:
                path.unlink(missing_ok=True)
        size = sum(entry for _, entry, _ in used)
        for _, entry, path in sorted(used):
            if size <= self.most_bytes:
                return
            if path != newest:
                path.unlink(missing_ok=True)
                size -= entry


def cache_in(root: DataPath) -> ContentCache:
    """Return the cache of a data folder, or the one that `CJ_PIPELINE_CACHE_DIR` names for all of them.

    It is always on this machine: an entry saves .1 s, and its use is written down by touching the file.
    """
    return ContentCache(PipelineSettings().cache_dir or local_folder(root) / CACHE_FOLDER)


def _save(path: Path, arrays: Mapping[str, Array]) -> None:
    with path.open("wb") as file:  # given a name, numpy would add a suffix
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub takes every name for `allow_pickle`
