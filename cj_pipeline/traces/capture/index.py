"""What a draft remembers of each callback it took, 96 bytes each, and what follows from it.

Here: the record, the order of the finished trace, which callbacks repeat others. Not here: the files that hold the
records (lane.py), the lines themselves.

All of it works on whole arrays: a million callbacks are a few arrays of 8 MB, and never a million objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Records = npt.NDArray[np.void]

RECORD = np.dtype(
    [
        ("timestamp_ms", "<i8"),
        ("position", "<i8"),
        ("length", "<u4"),  # of the line with its newline
        ("essay_a", "<u4"),  # places in the lane's list of essays
        ("essay_b", "<u4"),
        ("outcome", "<u2"),
        ("error_code", "<u2"),  # 0, or 1 + the place in the lane's list of error codes
        ("response_time_ms", "<i8"),
        ("prompt_tokens", "<i8"),
        ("completion_tokens", "<i8"),
        ("total_tokens", "<i8"),
        ("request", "V16"),
        ("correlation", "V16"),
    ]
)

# All of a record but its ids.
_FIGURES = Struct("<qqIIIHHqqqq")
pack_figures = _FIGURES.pack

# Places of the hyphens in a UUID.
_HYPHENS = [8, 13, 18, 23]

OUTCOME_ERROR, OUTCOME_A, OUTCOME_B = 0, 1, 2


def id_digest(name: str) -> bytes:
    """16 bytes that stand for an id: a UUID's own, whatever case it is written in; otherwise its BLAKE2b-128."""
    if len(name) == 36 and name[8] == name[13] == name[18] == name[23] == "-":
        try:
            digest = bytes.fromhex(name.replace("-", ""))
        except ValueError:
            digest = b""
        if len(digest) == 16:
            return digest
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def id_digests(names: Sequence[str]) -> bytes:
    """`id_digest` of each, one after another: for UUIDs, as nearly all are, in one go."""
    text = "".join(names)
    if len(text) == 36 * len(names) and text.isascii():
        letters = np.frombuffer(text.encode(), np.uint8).reshape(-1, 36)
        digits = np.delete(letters, _HYPHENS, axis=1)
        if bool((letters[:, _HYPHENS] == ord("-")).all()) and bool((digits > ord(" ")).all()):
            try:
                # Hyphens are where they belong, and the rest is no space: hex digits, 32 a name, or an error.
                return bytes.fromhex(digits.tobytes().decode())
            except ValueError:
                pass
    return b"".join([id_digest(name) for name in names])


def records_from(figures: Sequence[bytes], lines: bytes, requests: Sequence[str], correlations: Sequence[str]) -> bytes:
    """The bytes of some records, from what `pack_figures` made of them, their lines one after another, and the ids.

    lines: each with its newline; their lengths go into the records, whatever the figures say of them.
    """
    content = np.empty((len(figures), RECORD.itemsize), np.uint8)
    content[:, : _FIGURES.size] = np.frombuffer(b"".join(figures), np.uint8).reshape(-1, _FIGURES.size)
    content[:, _FIGURES.size : -16] = np.frombuffer(id_digests(requests), np.uint8).reshape(-1, 16)
    content[:, -16:] = np.frombuffer(id_digests(correlations), np.uint8).reshape(-1, 16)
    ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
    content.view(RECORD)["length"][:, 0] = np.diff(ends, prepend=-1)
    return content.tobytes()


@dataclass(frozen=True, slots=True)
class Sequencing:
    """The order of a trace, and what of the draft belongs to it.

    Indices count records over all lanes, lane after lane. kept: those that are in the trace, in its order.
    repeated: those that repeat an earlier one of the same request id. contradicting: the same, with another outcome.
    contradicted: for each of `contradicting`, the one it repeats.
    """

    kept: IntArray
    repeated: IntArray
    contradicting: IntArray
    contradicted: IntArray


def sequence(lanes: Sequence[Records]) -> Sequencing:
    """Put the records of some lanes into the order of time, partition, offset; of equal request ids the first stays.

    lanes: by rising partition, each by rising position.
    """
    timestamps = np.concatenate([lane["timestamp_ms"] for lane in lanes]) if lanes else np.empty(0, np.int64)
    # Stable: where times are equal, lane and position decide, because that is how the records lie.
    order = np.argsort(timestamps, kind="stable")
    ids = np.concatenate([lane["request"] for lane in lanes]) if lanes else np.empty(0, "V16")
    requests = ids.view(np.uint64).reshape(-1, 2)
    high = requests[:, 0]
    ordered = np.sort(high)
    nothing = np.empty(0, np.int64)
    if not bool((ordered[1:] == ordered[:-1]).any()):
        return Sequencing(order, nothing, nothing, nothing)
    # lexsort is stable too: within a group of equal ids the first is the first of the trace.
    grouped = order[np.lexsort((requests[order, 1], requests[order, 0]))]
    same = np.zeros(len(grouped), np.bool_)
    same[1:] = (requests[grouped[1:]] == requests[grouped[:-1]]).all(axis=1)
    firsts = grouped[np.maximum.accumulate(np.where(same, 0, np.arange(len(grouped))))]
    outcomes = np.concatenate([lane["outcome"] for lane in lanes])
    differs = same & (outcomes[grouped] != outcomes[firsts])
    later = np.zeros(len(grouped), np.bool_)
    later[grouped[same]] = True
    return Sequencing(
        kept=order[~later[order]],
        repeated=grouped[same & ~differs],
        contradicting=grouped[differs],
        contradicted=firsts[differs],
    )
