"""This module counts in which place essays were shown, first (A) or second (B), and how they did there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Places:
    """One essay: comparisons in which it was shown as A and as B, and those of them that it won."""

    as_a: int = 0
    as_b: int = 0
    won_as_a: int = 0
    won_as_b: int = 0

    @property
    def skew(self) -> float:
        """How unevenly it was shown: |A - B| / (A + B), from 0 to 1; 0 for an essay that was never shown.

        >>> Places(as_a=3, as_b=1).skew, Places().skew
        (0.5, 0.0)
        """
        return abs(self.as_a - self.as_b) / max(1, self.as_a + self.as_b)


Shown = tuple[str, str, str | None]
"""A comparison: the essay shown as A, the one shown as B, and the winner; None where there is none."""


def places_of(shown: Iterable[Shown]) -> dict[str, Places]:
    """Return the places of every essay that was shown, by id, sorted.

    >>> places_of([("x", "y", "y"), ("y", "x", None)])["y"]
    Places(as_a=1, as_b=1, won_as_a=0, won_as_b=1)
    """
    counts: dict[str, list[int]] = {}
    for first, second, winner in shown:
        for essay, place in ((first, 0), (second, 1)):
            row = counts.setdefault(essay, [0, 0, 0, 0])
            row[place] += 1
            row[place + 2] += winner == essay
    return {essay: Places(*counts[essay]) for essay in sorted(counts)}


def pairs_in_one_order(shown: Iterable[Shown]) -> tuple[int, int]:
    """Return how many pairs were shown more than once, and how many of these always in one order."""
    orders: dict[frozenset[str], list[tuple[str, str]]] = {}
    for first, second, _ in shown:
        orders.setdefault(frozenset((first, second)), []).append((first, second))
    again = [set(order) for order in orders.values() if len(order) > 1]
    return len(again), sum(len(order) == 1 for order in again)
