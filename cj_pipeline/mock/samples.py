"""This module draws one of the recorded answers that a mode keeps as samples."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from cj_pipeline.mock.answers import ability
from cj_pipeline.mock.draws import Draws
from cj_pipeline.mock.mode.mode import AbilityWinner, Mode, Sample
from cj_pipeline.mock.request import MockRequest

# A sample comes from the nearest eighth of all, by gap: confidence keeps its link to the gap, and each answer is drawn.
_NEIGHBOURHOODS = 8
_LEAST_NEIGHBOURS = 5


class SampleBook:
    """The samples of a mode, ordered by the gap between the abilities of their essays."""

    def __init__(self, mode: Mode) -> None:
        self._winner = mode.winner
        self._name = mode.name
        self._ordered = sorted(mode.samples, key=lambda row: row[3])
        self._gaps = [row[3] for row in self._ordered]
        self._width = min(len(self._ordered), max(_LEAST_NEIGHBOURS, len(self._ordered) // _NEIGHBOURHOODS))

    def draw(self, request: MockRequest, draws: Draws) -> Sample | None:
        """Draw a sample, from those whose gap is like that of the request's essays; None without any.

        Any of them, where the mode's winners have no abilities.
        """
        ordered = self._ordered
        if not ordered:
            return None
        drawn = draws.uniform("sample")
        ids = request.essay_ids()
        if not isinstance(self._winner, AbilityWinner) or ids is None:
            return ordered[int(drawn * len(ordered))]
        gap = abs(ability(self._winner, self._name, ids[0]) - ability(self._winner, self._name, ids[1]))
        middle = (bisect_left(self._gaps, gap) + bisect_right(self._gaps, gap)) // 2
        place = middle - self._width // 2 + int(drawn * self._width)
        # Reflected at both ends, so that the samples there are drawn as often as the others.
        place = -1 - place if place < 0 else place
        return ordered[2 * len(ordered) - 1 - place if place >= len(ordered) else place]
