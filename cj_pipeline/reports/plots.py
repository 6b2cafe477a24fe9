"""This module draws two runs as PNG pictures: the scales that they give, and how long their answers took.

Matplotlib's object interface and its Agg canvas only: nothing global is touched, so threads and processes may draw, and
the same records give the same bytes. Recorded and live differ in colour (Okabe and Ito's blue and vermilion, which
every kind of colour vision distinguishes) and in the shape of marker and line, for grey prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from cj_pipeline.foundation.numbers import percentile
from cj_pipeline.runs.record import RunRecord, ScoredEssay, Side
from cj_pipeline.traces.scenario import Scenario

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, INK, GRID = "#0072B2", "#D55E00", "#333333", "#DDDDDD"
COLOURS = {Side.RECORDED: BLUE, Side.LIVE: VERMILION}
MARKERS = {Side.RECORDED: "o", Side.LIVE: "D"}
LINES = {Side.RECORDED: "-", Side.LIVE: "--"}
DODGE = {Side.RECORDED: 0.14, Side.LIVE: -0.14}
WIDTH_INCHES = 7.6
# 96: sharp enough for a browser, and some 30 kB a picture; Dagster keeps each in its event log.
DOTS_PER_INCH = 96


def theta_plot(scenario: Scenario, recorded: RunRecord, live: RunRecord) -> bytes:
    """Draw each item's theta on both sides with a bar of one standard error either way, best recorded item on top."""
    labels = {item.id: _label(item.label, item.grade) for item in scenario.net.items}
    order = [row.essay_id for row in sorted(recorded.document.fit.essays, key=lambda row: row.theta)]
    figure, axes = _axes(height=1.5 + 0.36 * len(order))
    for record in (recorded, live):
        _draw_scores(axes, record, order)
    axes.axvline(0.0, color=INK, linewidth=0.8, zorder=1)
    axes.set_yticks(range(len(order)), [labels.get(essay, essay) for essay in order], parse_math=False)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlabel("theta (logits, mean-centred); bars: one standard error either way")
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    _legend(axes)
    return _png(figure)


def latency_plot(recorded: RunRecord, live: RunRecord) -> bytes:
    """Draw the share of answers that took at most so many milliseconds, on both sides; dots mark the 95th percentile.

    The live side's repeats count too, as they do in the latency checks.
    """
    figure, axes = _axes(height=3.6)
    for record in (recorded, live):
        _draw_latencies(axes, record)
    axes.axhline(0.95, color=INK, linewidth=0.8, linestyle=":", zorder=1)
    axes.annotate("95 %", (0.005, 0.94), xycoords=("axes fraction", "data"), va="top", color=INK, fontsize="small")
    axes.set_ylim(0.0, 1.02)
    axes.set_xlim(left=0.0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel("response time (ms, the provider's call alone)")
    axes.set_ylabel("share of answers")
    axes.grid(color=GRID, linewidth=0.8)
    _legend(axes)
    return _png(figure)


def _draw_scores(axes: Axes, record: RunRecord, order: list[str]) -> None:
    side = record.document.side
    place = {essay: position for position, essay in enumerate(order)}
    rows = [row for row in record.document.fit.essays if row.essay_id in place]
    axes.errorbar(
        [row.theta for row in rows],
        [place[row.essay_id] + DODGE[side] for row in rows],
        # No bar where nothing is known about the error: an endless one would hide the others.
        xerr=list(_errors(rows)),
        fmt=MARKERS[side],
        color=COLOURS[side],
        markersize=6,
        elinewidth=1.6,
        capsize=3,
        label=f"{side} ({record.document.judge})",
        zorder=3,
    )


def _errors(rows: list[ScoredEssay]) -> Iterator[float]:
    for row in rows:
        yield 0.0 if row.standard_error is None else row.standard_error


def _draw_latencies(axes: Axes, record: RunRecord) -> None:
    side = record.document.side
    milliseconds = np.sort([callback.response_time_ms for callback in record.pooled_callbacks])
    if len(milliseconds) == 0:
        axes.plot([], [], color=COLOURS[side], linestyle=LINES[side], label=f"{side} (no answers)")
        return
    label = f"{side} ({len(milliseconds)} answers, mean {milliseconds.mean():,.0f} ms)"
    axes.ecdf(milliseconds, color=COLOURS[side], linestyle=LINES[side], linewidth=1.8, label=label, zorder=3)
    axes.plot(percentile(milliseconds, 95), 0.95, MARKERS[side], color=COLOURS[side], markersize=6, zorder=4)


def _axes(height: float) -> tuple[Figure, Axes]:
    # Imported when something is drawn: matplotlib takes a third of a second, and most processes draw nothing.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for edge in ("top", "right", "left"):
        axes.spines[edge].set_visible(False)
    return figure, axes


def _legend(axes: Axes) -> None:
    legend = axes.figure.legend(loc="outside upper left", ncols=2, frameon=False, labelcolor=INK, fontsize="small")
    for text in legend.get_texts():
        text.set_parse_math(False)  # a judge may be called by a file, and `$` in its name is a dollar


def _label(label: str, grade: str | None) -> str:
    # Many labels carry their grade already (vt_008_C+).
    return label if grade is None or label.endswith(grade) else f"{label} ({grade})"


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    # Else matplotlib would write its version into the file.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
