"""This module tests whether the maximum-likelihood estimate exists, and names the items because of which it does not.

Within a connected part of the net it exists exactly when every item beat every other, directly or through others.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

import numpy as np

from cj_pipeline.bt.pairs import strong_labels
from cj_pipeline.foundation.errors import CjPipelineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cj_pipeline.bt.pairs import FloatArray, IntArray, Pairs

# Names in one sentence; a message is read by a person, the attributes hold them all.
NAMED = 8


class Separation(CjPipelineError):
    """The likelihood has no maximum: it grows for ever as some items move away from the rest.

    winless, undefeated: compared items that never won / never lost. groups: the strongly connected parts, a group
    before the groups it beat; no item of a later group ever beat one of an earlier. Isolated items are in none.
    """

    def __init__(self, winless: Iterable[int], undefeated: Iterable[int], groups: Iterable[tuple[int, ...]]) -> None:
        self.winless = tuple(winless)
        self.undefeated = tuple(undefeated)
        self.groups = tuple(groups)
        super().__init__(
            f"The maximum-likelihood estimate does not exist: {self.cause()}. "
            "Use estimator='map' (or 'production'), or compare these items further."
        )

    @property
    def items(self) -> tuple[int, ...]:
        """Return the items that the sentence is about: without a win or a loss, or else those of the first group."""
        return tuple(sorted({*self.winless, *self.undefeated})) or self.groups[0]

    def cause(self, names: Sequence[str] | None = None) -> str:
        """Say why there is no maximum, with the items' names in the place of their indices where names are given."""
        facts = []
        if self.winless:
            facts.append(f"{named(self.winless, names)} never won")
        if self.undefeated:
            facts.append(f"{named(self.undefeated, names)} never lost")
        if facts:
            return "; ".join(facts)
        return (
            f"the net falls into {len(self.groups)} groups, "
            f"and none of the first ({named(self.groups[0], names)}) ever lost to the others"
        )


def named(items: Iterable[int], names: Sequence[str] | None = None) -> str:
    """Return 'item 3', 'items 3, 4', 'items 0, 1, 2, 3, 4, 5, 6, 7 and 12 more'; with names: 'a', 'a, b'."""
    listed = [int(item) for item in items]
    text = ", ".join(str(item) if names is None else names[item] for item in listed[:NAMED])
    rest = len(listed) - NAMED
    kind = "" if names is not None else "item " if len(listed) == 1 else "items "
    return kind + text + (f" and {rest} more" if rest > 0 else "")


def require_maximum(pairs: Pairs, components: IntArray) -> None:
    """Raise Separation unless the likelihood has a maximum in every component."""
    strong = strong_labels(pairs)
    if int(strong.max()) == int(components.max()):  # every component holds at least one group, so: exactly one
        return
    wins, losses = pairs.wins, pairs.losses
    compared = wins + losses > 0
    raise Separation(
        winless=np.flatnonzero(compared & (wins == 0)).tolist(),
        undefeated=np.flatnonzero(compared & (losses == 0)).tolist(),
        groups=_groups(pairs, strong, wins + losses),
    )


def _groups(pairs: Pairs, strong: IntArray, compared: FloatArray) -> list[tuple[int, ...]]:
    members: dict[int, list[int]] = {int(strong[item]): [] for item in np.flatnonzero(compared)}
    for item in np.flatnonzero(compared):
        members[int(strong[item])].append(int(item))
    order: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(members, ()))
    first, second = strong[pairs.first], strong[pairs.second]
    for i, j, first_wins in zip(first.tolist(), second.tolist(), pairs.first_wins.tolist(), strict=True):
        if i != j:  # between two groups all wins go one way
            winner, loser = (i, j) if first_wins > 0 else (j, i)
            order.add(loser, winner)
    return [tuple(members[group]) for group in order.static_order()]
