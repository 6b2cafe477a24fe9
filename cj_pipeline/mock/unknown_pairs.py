"""This module gives pairs that a mode does not know their winners, so that few of them have the right share already.

Ten winners that are drawn one by one miss a share of 0.4 by more than 0.2 in one net of five; ids that nobody has seen
before cannot say more. So these winners go by the order in which the pairs come, as the course of latencies does.
"""

from __future__ import annotations

from cj_pipeline.foundation.seeding import uniform
from cj_pipeline.mock.mode.winner import UnknownPairs

# About 10 MB of ids; a pair that is forgotten may get another winner.
_MOST = 65_536


class UnknownPairWinners:
    """The winners so far. A pair keeps its winner, whichever of the two is shown as A."""

    def __init__(self, shares: UnknownPairs, seed: int) -> None:
        self._shares = shares
        self._phase = int(uniform("lps", "unknown pairs", seed) * shares.out_of)
        self._count = 0
        self._winners: dict[frozenset[str], str] = {}

    def prefers_a(self, essay_a: str, essay_b: str) -> bool:
        """Return whether the essay shown as A wins; a new pair gets its winner now."""
        pair = frozenset((essay_a, essay_b))
        winner = self._winners.get(pair)
        if winner is None:
            if len(self._winners) >= _MOST:
                self._winners.pop(next(iter(self._winners)))
            winner = self._winners[pair] = essay_a if self._next_is_a() else essay_b
        return winner == essay_a

    def _next_is_a(self) -> bool:
        """Spread the turns of A evenly: any `out_of` in a row have exactly `essay_a` of them."""
        turn, self._count = self._count + self._phase, self._count + 1
        shares = self._shares
        return (turn + 1) * shares.essay_a // shares.out_of > turn * shares.essay_a // shares.out_of
