"""This module gives pairs that a mode does not know their winners: by their essays, and with the right share soon.

The winner of a pair is drawn from the SHA-256 of its two ids, so that every process, today and after a restart, gives
the same one. Drawn one by one, ten winners miss a share of 0.4 by more than 0.2 in one net of five. Where a net's
share would go that far, its next winner is the other one; that alone depends on the order in which its pairs come.
"""

from __future__ import annotations

from cj_pipeline.foundation.seeding import uniform
from cj_pipeline.mock.mode.winner import UnknownPairs

# About 10 MB of ids. What is forgotten gets the winner that its ids give.
_MOST = 65_536

# By how many answers for A a net may be off. Production's suite passes with 3 to 5 of 10 where 4 were recorded.
_MOST_BELOW = 1.9
_MOST_ABOVE = 1.0


class _Net:
    """Essays that were compared with each other, directly or through others: its pairs, and those that A won."""

    __slots__ = ("essays", "pairs", "won_by_a")

    def __init__(self, *essays: str) -> None:
        self.essays = set(essays)
        self.pairs = 0
        self.won_by_a = 0


class UnknownPairWinners:
    """The winners so far. A pair keeps its winner, whichever of the two is shown as A."""

    def __init__(self, shares: UnknownPairs, seed: int) -> None:
        self._share = shares.essay_a / shares.out_of
        # A share of none, or of all, is kept exactly.
        self._most_below, self._most_above = (_MOST_BELOW, _MOST_ABOVE) if 0.0 < self._share < 1.0 else (0.0, 0.0)
        self._seed = seed
        self._winners: dict[frozenset[str], str] = {}
        self._nets: dict[str, _Net] = {}

    def prefers_a(self, essay_a: str, essay_b: str) -> bool:
        """Return whether the essay shown as A wins; a new pair gets its winner now."""
        pair = frozenset((essay_a, essay_b))
        winner = self._winners.get(pair)
        if winner is None:
            if len(self._winners) >= _MOST:
                self._winners.clear()
                self._nets.clear()
            winner = self._winners[pair] = essay_a if self._new_is_a(essay_a, essay_b) else essay_b
        return winner == essay_a

    def _new_is_a(self, essay_a: str, essay_b: str) -> bool:
        net = self._net_of(essay_a, essay_b)
        first, second = sorted((essay_a, essay_b))
        first_wins = uniform("lps", "unknown pair", self._seed, first, second) < self._share
        net.pairs += 1
        above = net.won_by_a - self._share * net.pairs  # if B wins this one
        is_a = first_wins is (essay_a == first)
        if above < -self._most_below:
            is_a = True
        elif above + 1.0 > self._most_above:
            is_a = False
        net.won_by_a += is_a
        return is_a

    def _net_of(self, essay_a: str, essay_b: str) -> _Net:
        """Return the net that both are in from now on."""
        net, other = (self._nets.get(essay) or _Net(essay) for essay in (essay_a, essay_b))
        if net is not other:
            if len(net.essays) < len(other.essays):
                net, other = other, net
            net.essays |= other.essays
            net.pairs += other.pairs
            net.won_by_a += other.won_by_a
            self._nets.update(dict.fromkeys((*other.essays, essay_a, essay_b), net))
        return net
