"""Which request ids were there already: exact, 16 bytes an id.

Here: a growing set of digests. Not here: whether a repeated callback says the same (index.py, when all are there).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# A Python set takes some 100 bytes an id; so many at most are in one before they are sorted into the array.
RECENT = 250_000


class SeenIds:
    """A set of 16-byte digests. recent: as many at most are kept unsorted."""

    def __init__(self, recent: int = RECENT) -> None:
        self._most = recent
        self._recent: set[bytes] = set()
        self._sorted: npt.NDArray[np.void] = np.empty(0, "V16")

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def add(self, digest: bytes) -> bool:
        """Add one; whether it is new."""
        if digest in self._recent or self._is_sorted_in(digest):
            return False
        self._recent.add(digest)
        if len(self._recent) >= self._most:
            self._sort_in()
        return True

    def update(self, digests: npt.NDArray[np.void]) -> None:
        """Add several, given as an array of V16."""
        self._sort_in()
        self._sorted = np.unique(np.concatenate([self._sorted, digests]))

    def _is_sorted_in(self, digest: bytes) -> bool:
        if not len(self._sorted):
            return False
        wanted = np.frombuffer(digest, "V16")
        place = int(np.searchsorted(self._sorted, wanted)[0])
        return place < len(self._sorted) and self._sorted[place] == wanted[0]

    def _sort_in(self) -> None:
        recent = np.frombuffer(b"".join(self._recent), "V16")
        self._sorted = np.sort(np.concatenate([self._sorted, recent]))
        self._recent = set()
