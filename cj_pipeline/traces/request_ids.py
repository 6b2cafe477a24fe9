"""This module finds request ids that come twice, in 16 bytes for each id."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Digests = npt.NDArray[np.uint64]
Lines = npt.NDArray[np.int64]


class RequestIds:
    """The request ids of a file so far: 8 bytes of a digest and the line, in sorted runs.

    Two ids of 3 million share a digest in one of four million files; the second would then go to quarantine.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Digests, Lines]] = []

    def first_lines(self, ids: list[str], lines: list[int]) -> list[int]:
        """Return for each id the first line that had it, which is its own where it is new, and remember the new ones.

        lines: ascending, and after all that were given before.
        """
        digests = np.frombuffer(b"".join([blake2b(id_.encode(), digest_size=8).digest() for id_ in ids]), np.uint64)
        new, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
        earliest = np.asarray(lines, np.int64)[first]
        known = np.zeros(len(new), np.bool_)
        for run, run_lines in self._runs:
            place = np.minimum(np.searchsorted(run, new), len(run) - 1)
            found = run[place] == new
            earliest[found] = run_lines[place[found]]
            known |= found
        if not known.all():
            self._remember(new[~known], earliest[~known])
        result: list[int] = earliest[inverse].tolist()
        return result

    def _remember(self, digests: Digests, lines: Lines) -> None:
        self._runs.append((digests, lines))
        # Merging runs of about the same length keeps their number at the logarithm of the ids.
        while len(self._runs) > 1 and len(self._runs[-2][0]) <= 2 * len(self._runs[-1][0]):
            (a, a_lines), (b, b_lines) = self._runs[-2:]
            merged = np.concatenate((a, b))
            order = np.argsort(merged, kind="stable")
            self._runs[-2:] = [(merged[order], np.concatenate((a_lines, b_lines))[order])]
