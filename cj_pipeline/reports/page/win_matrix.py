"""This module draws who won against whom on both sides, as two matrices whose cells are told apart by shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from cj_pipeline.parity.compare import ParityReport
from cj_pipeline.reports.page.inline_svg import shortened
from cj_pipeline.runs.record import RunRecord

MOST_ESSAYS = 30
"""Beyond, a cell is smaller than a letter."""

# One path a shape: `d` from the corner of a cell of side 10. Filled: always won; half: won some; ring: always lost.
_SHAPES = {"won": "h8v8h-8z", "split": "h8l-8 8z", "lost": "m3 4a1 1 0 0 0 2 0a1 1 0 0 0-2 0"}
_CELL, _LABELS = 10, 76
_LEAST_WIDTH = 200  # so that the letters of a small net are no larger than the page's


def win_matrices(report: ParityReport) -> tuple[tuple[str, Markup], ...]:
    """Return a matrix a side with its name, in the recorded order; none without an order, or for too many essays."""
    order = [row.essay_id for row in sorted(report.recorded.document.fit.essays, key=lambda row: row.rank)]
    if not order or len(order) > MOST_ESSAYS:
        return ()
    labels = {item.id: item.label for item in report.scenario.net.items}
    names = [shortened(labels.get(essay, essay)) for essay in order]
    sides = (("recorded", report.recorded), ("live", report.live))
    return tuple((side, _matrix(f"{side}: who won against whom", order, names, wins_of(run))) for side, run in sides)


def wins_of(run: RunRecord) -> Mapping[tuple[str, str], int]:
    """Return how often the first essay won against the second, repeats included."""
    found: Counter[tuple[str, str]] = Counter()
    for callback in run.pooled_callbacks:
        winner = callback.winning_essay()
        if winner is not None:
            loser = next((essay for essay in callback.essay_ids() if essay != winner), winner)
            found[winner, loser] += 1
    return found


def _matrix(title: str, order: Sequence[str], names: Sequence[str], wins: Mapping[tuple[str, str], int]) -> Markup:
    paths: dict[str, list[str]] = {shape: [] for shape in _SHAPES}
    for row, essay in enumerate(order):
        for column, other in enumerate(order):
            won, lost = wins.get((essay, other), 0), wins.get((other, essay), 0)
            if essay != other and won + lost:
                shape = "split" if won and lost else "won" if won else "lost"
                paths[shape].append(f"M{_LABELS + column * _CELL + 1} {(row + 1) * _CELL + 1}{_SHAPES[shape]}")
    width, height = max(_LABELS + len(order) * _CELL, _LEAST_WIDTH), (len(order) + 1) * _CELL
    rows = Markup("").join(
        Markup('<text x="{}" y="{}" text-anchor="end">{} {}</text>').format(
            _LABELS - 3, (row + 2) * _CELL - 2.5, name, row + 1
        )
        for row, name in enumerate(names)
    )
    columns = Markup("").join(
        Markup('<text x="{}" y="7.5" text-anchor="middle">{}</text>').format(_LABELS + (at + 0.5) * _CELL, at + 1)
        for at in range(len(order))
    )
    cells = Markup("").join(
        Markup('<path class="{}" d="{}"/>').format(shape, "".join(found)) for shape, found in paths.items() if found
    )
    return Markup(
        '<svg class="matrix" role="img" aria-label="{}" viewBox="0 0 {} {}"><g font-size="6.5">{}{}</g>{}</svg>'
    ).format(escape(title), width, height, rows, columns, cells)
