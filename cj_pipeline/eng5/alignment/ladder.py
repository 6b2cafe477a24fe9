"""This module draws the ladder: graded anchors on the scale of the judge, the best grade on top, and what is inverted.

Matplotlib's object interface and its Agg canvas only, so the same report gives the same bytes. Sides differ in colour
and in the shape of their marks, for grey prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from cj_pipeline.eng5.alignment.document import Side

_COLOURS, _MARKERS = ("#0072B2", "#D55E00"), ("o", "D")
_INK, _GRID = "#333333", "#DDDDDD"
_WIDTH_INCHES, _DOTS_PER_INCH = 7.6, 96


def ladder_png(sides: Sequence[Side]) -> bytes:
    """Return the picture; a bar is one standard error either way, a line joins two anchors that are inverted."""
    from matplotlib.figure import Figure

    order = sorted(sides[0].result.anchors, key=lambda anchor: -anchor.aligned.expected_rank)
    place = {anchor.aligned.essay_id: number for number, anchor in enumerate(order)}
    figure = Figure(figsize=(_WIDTH_INCHES, 1.5 + 0.36 * len(order)), dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    for number, side in enumerate(sides):
        shift = 0.0 if len(sides) == 1 else (0.14, -0.14)[number]
        anchors = [anchor for anchor in side.result.anchors if anchor.aligned.essay_id in place]
        theta = {anchor.aligned.essay_id: anchor.aligned.theta for anchor in anchors}
        for pair in side.result.inversions:
            ends = [essay for essay in (pair.higher, pair.lower) if essay in theta]
            axes.plot(
                [theta[essay] for essay in ends],
                [place[essay] + shift for essay in ends],
                color=_COLOURS[number],
                linestyle=":",
                linewidth=1.4,
                zorder=2,
            )
        axes.errorbar(
            list(theta.values()),
            [place[essay] + shift for essay in theta],
            xerr=[anchor.standard_error or 0.0 for anchor in anchors],
            fmt=_MARKERS[number],
            color=_COLOURS[number],
            capsize=3,
            label=side.name or side.case.judge,
            zorder=3,
        )
    labels = sides[0].case.labels
    names = [_name(labels[one.aligned.essay_id], one.aligned.grade) for one in order]
    axes.set_yticks(range(len(order)), names, parse_math=False)
    axes.set_xlabel("score (logits); bars: one standard error either way; dotted: direct inversions")
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, length=0)
    for edge in ("top", "right", "left"):
        axes.spines[edge].set_visible(False)
    legend = figure.legend(loc="outside upper left", ncols=2, frameon=False, labelcolor=_INK, fontsize="small")
    for text in legend.get_texts():
        text.set_parse_math(False)  # `$` in the name of a side is a dollar
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})  # else its version would be in the file
    return buffer.getvalue()


def _name(label: str, grade: str) -> str:
    # Many labels carry their grade already (vt_008_C+).
    return label if label.endswith(grade) else f"{label} ({grade})"
