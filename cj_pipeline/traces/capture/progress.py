"""This module holds how far each partition is read, and what became of its messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class PartitionProgress:
    """One partition. Positions are offsets.

    first, next: of the first message wanted, and of the next to read. taken: callbacks kept, repeats included.
    outcomes: messages not taken, by what became of them. malformed_matches: malformed ones that name what was asked
    for. gone: (from, to) that nobody can read any more; the second is not included.
    """

    number: int
    first: int
    next: int
    taken: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    malformed_matches: int = 0
    gone: list[tuple[int, int]] = field(default_factory=list)

    @property
    def read(self) -> int:
        """Return how many messages were read, whatever became of them."""
        return self.taken + self.outcomes.total()

    def skip_to(self, position: int) -> None:
        """Go on at a later position; what lies between cannot be read any more, and the trace will say so."""
        self.gone.append((self.next, position))
        self.next = position

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {slot: getattr(self, slot) for slot in self.__slots__}


def progress_from(document: dict[str, Any]) -> PartitionProgress:
    """Return the progress of which `as_json` made a document."""
    gone = [(start, end) for start, end in document["gone"]]
    return PartitionProgress(**{**document, "outcomes": Counter(document["outcomes"]), "gone": gone})


def messages_read(partitions: Iterable[PartitionProgress]) -> int:
    """Count messages, whatever became of them."""
    return sum(partition.read for partition in partitions)
