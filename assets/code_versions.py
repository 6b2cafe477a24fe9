"""This module gives assets their code version: a digest of the rooms whose code decides what they contain.

A commit that changes the engine makes the runs stale, and the answers of the mock, since the engine chooses the pairs;
it leaves the traces and what is read of them. What an asset shows, and how, does not count.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

from cj_pipeline import foundation

PACKAGE = Path(str(foundation.__file__)).parents[1]

DIGITS = 12

_BELOW = ("contracts", "foundation", "warehouse")

# By what computes an asset; each lists every room whose change may change the content.
ROOMS = {
    "traces": ("traces", *_BELOW),
    "modes": ("mock", "bt", *_BELOW),
    "calibration": ("runs", "mock", "traces", "bt", *_BELOW),
    "recording": ("runs", "traces", *_BELOW),
    "answers": ("runs", "engine", "services", "mock", "traces", "bus", "bt", *_BELOW),
    "runs": ("runs", "engine", "bt", "traces", *_BELOW),
    "parity": ("parity", "runs", "engine", "mock", "bt", "traces", *_BELOW),
    "agreement": ("eng5", "parity", "runs", "engine", "bt", "traces", *_BELOW),
    "catalogue": _BELOW,
}


@cache
def code_version(computed_by: str) -> str:
    """Return the digest of what computes an asset, by a key of ROOMS, in hex."""
    return sha256(" ".join(_digest(room) for room in ROOMS[computed_by]).encode()).hexdigest()[:DIGITS]


@cache
def _digest(room: str) -> str:
    digest = sha256()
    root = PACKAGE / room
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
