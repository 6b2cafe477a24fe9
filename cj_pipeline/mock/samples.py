"""This module draws one of the recorded answers that a mode keeps as samples."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from cj_pipeline.mock.answers import ability
from cj_pipeline.mock.mode.mode import AbilityWinner, Mode, Sample
from cj_pipeline.mock.request import MockRequest

# A sample comes from the nearest eighth of all, by gap: confidence keeps its link to the gap, and each answer is drawn.
_NEIGHBOURHOODS = 8
_LEAST_NEIGHBOURS = 5


class SampleBook:
    """The samples of a mode, ordered by the gap between the abilities of their essays.

    by_latency: whether those of a like gap are drawn from in the order of their latencies, as a drift needs it.
    """

    def __init__(self, mode: Mode, *, by_latency: bool = False) -> None:
        self._winner = mode.winner
        self._name = mode.name
        self._ordered = sorted(mode.samples, key=lambda row: row[3])
        self._gaps = [row[3] for row in self._ordered]
        self._by_latency = by_latency
        self._width = min(len(self._ordered), max(_LEAST_NEIGHBOURS, len(self._ordered) // _NEIGHBOURHOODS))

    def draw(self, request: MockRequest, drawn: float) -> Sample | None:
        """Draw a sample, from those whose gap is like that of the request's essays; None without any.

        drawn: a uniform number. Any sample, where the mode's winners have no abilities.
        """
        ordered = self._ordered
        if not ordered:
            return None
        ids = request.essay_ids()
        if not isinstance(self._winner, AbilityWinner) or ids is None:
            first, width = 0, len(ordered)
        else:
            gap = abs(ability(self._winner, self._name, ids[0]) - ability(self._winner, self._name, ids[1]))
            middle = (bisect_left(self._gaps, gap) + bisect_right(self._gaps, gap)) // 2
            first, width = self._with_equal_gaps(middle - self._width // 2)
        if self._by_latency:
            alike = sorted(range(first, first + width), key=lambda place: ordered[self._inside(place)][0])
            return ordered[self._inside(alike[int(drawn * width)])]
        return ordered[self._inside(first + int(drawn * width))]

    def _with_equal_gaps(self, first: int) -> tuple[int, int]:
        """Return where a neighbourhood begins and how wide it is, with all samples of the gaps at its ends.

        Samples of one gap are in an order of their own (latency, say): a part of them would be no fair draw.
        """
        last = first + self._width
        if first >= 0:
            first = bisect_left(self._gaps, self._gaps[first])
        if last <= len(self._gaps):
            last = bisect_right(self._gaps, self._gaps[last - 1])
        return first, last - first

    def _inside(self, place: int) -> int:
        """Return a place reflected at both ends, so that the samples there are drawn as often as the others."""
        place = -1 - place if place < 0 else place
        return 2 * len(self._ordered) - 1 - place if place >= len(self._ordered) else place
