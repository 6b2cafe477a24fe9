"""This module holds the randomness of one attempt at one request.

A draw is `cj_pipeline.foundation.seeding.uniform(seed, correlation id, attempt, purpose)`, to the last bit; a test
holds that. It is made from bytes that are put together once per attempt, in a third of the time: an answer takes four
draws or so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

# A double holds 53 bits.
_STEP = 2.0**-53


@dataclass(frozen=True, slots=True)
class Draws:
    """Numbers for one attempt, one for each purpose."""

    seed: int
    correlation_id: str
    attempt: int
    _prefix: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        prefix = _part(self.seed) + _part(self.correlation_id) + _part(self.attempt)
        object.__setattr__(self, "_prefix", prefix.encode())

    def uniform(self, purpose: str) -> float:
        """In [0, 1); the same for the same seed, request, attempt and purpose in every process."""
        return (int.from_bytes(sha256(self._prefix + _suffix(purpose)).digest()[:8]) >> 11) * _STEP


def _part(part: str | int) -> str:
    text = str(part)
    return f"{len(text)}:{text};"


@cache
def _suffix(purpose: str) -> bytes:
    return _part(purpose).encode()
