"""This module draws the figures of a report page. Recorded and live differ in colour, and in marker or line as well."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from cj_pipeline.foundation.numbers import percentile
from cj_pipeline.mock.model.answers import FloatArray
from cj_pipeline.parity.compare import CheckResult, ParityReport
from cj_pipeline.parity.evidence import Evidence
from cj_pipeline.reports.page.inline_svg import BAND, INK, LIVE, RECORDED, draw, shortened
from cj_pipeline.runs.record import RunRecord, ScoredEssay, Side

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {Side.RECORDED: RECORDED, Side.LIVE: LIVE}
MARKERS = {Side.RECORDED: "o", Side.LIVE: "D"}
LINES = {Side.RECORDED: "-", Side.LIVE: "--"}
DODGE = {Side.RECORDED: 0.15, Side.LIVE: -0.15}

_MOST_ROWS = 40
"""Essays up to which each has a line of its own; more are drawn as points, one side against the other."""
_STEPS = 120
"""Of a distribution: as many as a screen shows."""
_FARTHEST = 3.0
"""In tolerances: what lies farther out is drawn at the edge."""


def evidence_figure(name: str, report: ParityReport) -> Markup | None:
    """Draw how far each gate lies from the recording, with its 95 % interval, in units of what it may differ by."""
    rows = [(one, one.evidence) for one in report.on if one.evidence is not None and _allowed(one.evidence) > 0]
    if not rows:
        return None

    def onto(axes: Axes) -> None:
        axes.axvspan(-1, 1, color=BAND, zorder=0)
        axes.axvline(0, color=INK, linewidth=0.6)
        for place, (result, evidence) in enumerate(reversed(rows)):
            allowed = _allowed(evidence)
            low, middle, high = (
                min(max(value / allowed, -_FARTHEST), _FARTHEST)
                for value in (evidence.low, evidence.difference, evidence.high)
            )
            axes.plot([low, high], [place, place], color=LIVE, linewidth=1.5)
            axes.plot(middle, place, "X" if result in report.failed else "D", color=LIVE, markersize=5)
        axes.set_yticks(range(len(rows)), [result.check.name for result, _ in reversed(rows)])
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.set_xlim(-_FARTHEST - 0.1, _FARTHEST + 0.1)
        axes.set_xlabel("live minus recorded; -1 to 1 is within tolerance")
        axes.tick_params(axis="y", length=0)

    return draw(name, "How far each gate lies from the recording", 0.7 + 0.17 * len(rows), onto)


def scales_figure(name: str, report: ParityReport) -> Markup | None:
    """Draw both scales with one standard error either way; None where a side has none."""
    sides = (report.recorded, report.live)
    if not all(side.document.fit.essays for side in sides):
        return None
    labels = {item.id: item.label for item in report.scenario.net.items}
    order = [row.essay_id for row in sorted(report.recorded.document.fit.essays, key=lambda row: row.theta)]
    if len(order) > _MOST_ROWS:
        return draw(name, "The two scales against each other", 3.6, lambda axes: _scatter(axes, *sides))

    def onto(axes: Axes) -> None:
        place = {essay: position for position, essay in enumerate(order)}
        axes.axvline(0, color=INK, linewidth=0.6)
        for record in sides:
            side = record.document.side
            rows = [row for row in record.document.fit.essays if row.essay_id in place]
            axes.errorbar(
                [row.theta for row in rows],
                [place[row.essay_id] + DODGE[side] for row in rows],
                xerr=[_error(row) for row in rows],
                fmt=MARKERS[side],
                color=COLOURS[side],
                markersize=4,
                elinewidth=1.2,
            )
        axes.set_yticks(range(len(order)), [shortened(labels.get(essay, essay)) for essay in order])
        axes.set_ylim(-0.7, len(order) - 0.3)
        axes.set_xlabel("theta (logits); bars: one standard error either way")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)

    return draw(name, "Both scales with their errors, the best essay on top", 0.7 + 0.23 * len(order), onto)


def distribution_figure(name: str, title: str, unit: str, recorded: FloatArray, live: FloatArray) -> Markup | None:
    """Draw which share of answers has at most a value, on both sides; markers at the median and at 95 %."""
    if not len(recorded) or not len(live):
        return None

    def onto(axes: Axes) -> None:
        for side, values in ((Side.RECORDED, recorded), (Side.LIVE, live)):
            shares = np.linspace(0, 1, min(_STEPS, len(values) + 1))
            axes.plot(
                [percentile(values, 100 * share) for share in shares],
                100 * shares,
                color=COLOURS[side],
                linestyle=LINES[side],
                linewidth=1.6,
            )
            for share in (50, 95):
                axes.plot(percentile(values, share), share, MARKERS[side], color=COLOURS[side], markersize=5)
        axes.set_ylim(0, 103)
        axes.set_xlabel(unit)
        axes.set_ylabel("% of answers, at most")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.locator_params(axis="x", nbins=6)
        axes.grid()

    return draw(name, title, 2.6, onto)


def errors_figure(name: str, report: ParityReport) -> Markup | None:
    """Draw how errors add up over a batch; None where no call failed."""
    sides = {side.document.side: _errors_so_far(side) for side in (report.recorded, report.live)}
    if not any(max(shares) for _, shares in sides.values()):
        return None

    def onto(axes: Axes) -> None:
        for side, (places, shares) in sides.items():
            axes.step(places, shares, where="post", color=COLOURS[side], linestyle=LINES[side], linewidth=1.6)
            axes.plot(100, shares[-1], MARKERS[side], color=COLOURS[side], markersize=5, clip_on=False)
        axes.set_xlim(0, 100)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("% of the batch, in order of arrival")
        axes.set_ylabel("errors so far, % of calls")
        axes.grid()

    return draw(name, "How errors add up over a batch", 2.6, onto)


def _allowed(evidence: Evidence) -> float:
    """Return what a difference may come to on its side; 0 where nothing finite is said."""
    down = max(-evidence.margin.low, -evidence.noise.low)
    up = max(evidence.margin.high, evidence.noise.high)
    chosen = up if evidence.difference >= 0 else down
    other = down if evidence.difference >= 0 else up
    return chosen if math.isfinite(chosen) else other if math.isfinite(other) else 0.0


def share_of_tolerance(result: CheckResult) -> float:
    """Return how much of its tolerance a gate uses; 0 for one without noise."""
    evidence = result.evidence
    allowed = 0.0 if evidence is None else _allowed(evidence)
    return 0.0 if evidence is None or allowed <= 0 else abs(evidence.difference) / allowed


def _error(row: ScoredEssay) -> float:
    # No bar where nothing is known about the error: an endless one would hide the others.
    return 0.0 if row.standard_error is None else row.standard_error


def _scatter(axes: Axes, recorded: RunRecord, live: RunRecord) -> None:
    live_theta = {row.essay_id: row.theta for row in live.document.fit.essays}
    points = [
        (row.theta, live_theta[row.essay_id]) for row in recorded.document.fit.essays if row.essay_id in live_theta
    ]
    ends = [min(map(min, points)), max(map(max, points))] if points else [0.0, 1.0]
    axes.plot(ends, ends, color=INK, linewidth=0.6)
    axes.plot(*zip(*points[:500], strict=True), "D", color=LIVE, markersize=3, linestyle="none")
    axes.set_xlabel("recorded theta (logits); on the line, both sides agree")
    axes.set_ylabel("live theta (logits)")
    axes.grid()


def _errors_so_far(run: RunRecord) -> tuple[list[float], list[float]]:
    """Return places in a batch, in %, and the errors up to there in % of all calls; repeats are laid over the batch."""
    batches = (run.events, *run.repeats)
    calls = sum(map(len, batches))
    places = sorted(
        100 * (at + 1) / len(batch) for batch in batches for at, event in enumerate(batch) if not event.data.succeeded
    )
    shown = np.unique(np.linspace(0, len(places), min(len(places) + 1, 2 * _STEPS)).astype(int)).tolist()
    ends = [0.0, *places]
    return [*(ends[index] for index in shown), 100.0], [100 * index / max(calls, 1) for index in (*shown, len(places))]
