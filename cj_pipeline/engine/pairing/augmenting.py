"""Making a matching as large as it can be, and choosing who sits out of it.

Here: augmenting paths through blossoms (Edmonds 1965), one search per essay without a partner. Not here: how heavy a
matching is (exact_matching.py, near_matching.py).

A matching with no augmenting path is a maximum one (Berge 1957), so what leaves here is maximum at every size, whatever
it was started from. From a good start there are few searches, and in a dense net each is short.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from cj_pipeline.engine.pairing.net import BoolArray, IntArray

ALONE = -1
"""The partner of an essay that sits out."""


def maximise(allowed: BoolArray, mate: IntArray, sits_out_first: IntArray) -> IntArray:
    """A maximum matching grown from the one given.

    allowed: n by n, symmetric; mate: partner of each position, ALONE without one.
    Where somebody must sit out it is, one seat after another, whoever stands first in `sits_out_first` of all who can
    take that seat while the matching keeps its size.
    """
    partner = mate.copy()
    turn = np.empty(len(partner), dtype=np.intp)
    turn[sits_out_first] = np.arange(len(partner))
    # The last in turn is placed first: it is the one who should play.
    for position in sits_out_first[::-1].tolist():
        if partner[position] == ALONE and allowed[position].any():
            search = _Search(allowed, partner, position)
            path = search.augmenting_path()
            if path is None:
                outer = np.flatnonzero(search.outer)
                first, *path = search.path_from(int(outer[np.argmin(turn[outer])]), position)
                partner[first] = ALONE
            for one, other in zip(path[::2], path[1::2], strict=True):
                partner[one], partner[other] = other, one
    return partner


class _Search:
    """One search for an augmenting path from an essay without a partner, the root. It changes no partner.

    outer: positions at the end of an alternating path of even length from the root, who could sit out instead of it;
    above: of a position reached over an odd path, the outer one before it; bridge: of one that became outer later, the
    edge that closed its blossom, its own side first (Gabow 1976: labels that are written once never lead in a circle);
    base: the top of the blossom that a position lies in, itself outside of any.
    """

    def __init__(self, allowed: BoolArray, partner: IntArray, root: int) -> None:
        self.allowed = allowed
        self.partner = partner
        self.root = root
        self.above = np.full(len(partner), ALONE, dtype=np.intp)
        self.bridge: dict[int, tuple[int, int]] = {}
        self.base = np.arange(len(partner))
        self.outer = np.zeros(len(partner), dtype=np.bool_)

    def augmenting_path(self) -> list[int] | None:
        """From another essay without a partner to the root; None when there is no such path.

        Blossoms wait until the tree cannot grow otherwise: in a dense net a path is mostly found before the first one.
        """
        self.outer[self.root] = True
        free = self.partner == ALONE
        free[self.root] = False
        unseen = ~free
        unseen[self.root] = False
        to_grow, to_close = deque([self.root]), deque([self.root])
        while to_grow or to_close:
            while to_grow:
                here = to_grow.popleft()
                row = self.allowed[here]
                ends = np.flatnonzero(row & free)
                if len(ends):
                    # The nearest on the scale: the heaviest of these paths as a rule.
                    return [int(ends[np.argmin(np.abs(ends - here))]), *self.path_from(here, self.root)]
                inner = np.flatnonzero(row & unseen)
                self.above[inner] = here
                fresh = self.partner[inner]
                self.outer[fresh] = True
                unseen[inner] = unseen[fresh] = False
                to_grow.extend(fresh.tolist())
                to_close.extend(fresh.tolist())
            if to_close:
                here = to_close.popleft()
                for there in np.flatnonzero(self.allowed[here] & self.outer).tolist():
                    if self.base[here] != self.base[there]:
                        closed = self._contract(here, there)
                        to_grow.extend(closed)
                        to_close.extend(closed)
        return None

    def path_from(self, outer: int, end: int) -> list[int]:
        """The alternating path of even length from an outer position up to one that it leads through."""
        path = [outer]
        while (here := path[-1]) != end:
            mate = int(self.partner[here])
            if here in self.bridge:
                own_side, other_side = self.bridge[here]
                path += reversed(self.path_from(own_side, mate))
                path.append(other_side)
            else:
                path += [mate, int(self.above[mate])]
        return path

    def _contract(self, here: int, there: int) -> list[int]:
        """Make the odd cycle that an edge between outer positions closes one vertex; the newly outer positions."""
        top = self._common_base(here, there)
        inside = np.zeros(len(self.base), dtype=np.bool_)
        fresh = []
        for side, other in ((here, there), (there, here)):
            base = int(self.base[side])
            while base != top:
                inner = int(self.partner[base])
                self.bridge[inner] = (side, other)
                fresh.append(inner)
                inside[base] = inside[inner] = True
                base = int(self.base[self.above[inner]])
        self.outer[fresh] = True
        self.base[inside[self.base]] = top
        return fresh

    def _common_base(self, one: int, other: int) -> int:
        """Where the two paths to the root meet."""
        base = int(self.base[one])
        passed = {base}
        while base != self.base[self.root]:
            base = int(self.base[self.above[self.partner[base]]])
            passed.add(base)
        base = int(self.base[other])
        while base not in passed:
            base = int(self.base[self.above[self.partner[base]]])
        return base
