"""This module shows the anchor alignment of one run: rows for the warehouse, and markdown for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.foundation.text import markdown_text
from cj_pipeline.parity.alignment import AlignedAnchor, Alignment, align
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.traces.scenario import Scenario
from cj_pipeline.warehouse.run_folder import RunFolder

# Production's targets for an alignment run.
TARGET_INVERSIONS = 1
TARGET_ZERO_WIN = 0
TARGET_TAU = 0.90


def scenario_alignment(scenario: Scenario, record: RunRecord) -> Alignment | None:
    """Return the alignment of a run with the scenario's grades; None when fewer than two different grades are known."""
    grades = {item.id: item.grade for item in scenario.net.items if item.grade is not None}
    if scenario.net.grade_scale is None or len(set(grades.values())) < 2:
        return None
    return align(record.document.fit, record.callbacks, grades, scenario.net.grade_scale)


def store_alignment(run: RunFolder, scenario: Scenario, side: Side, alignment: Alignment | None) -> Path:
    """Write one row per graded essay; no rows where there is no alignment."""
    labels = {item.id: item.label for item in scenario.net.items}
    rows = [
        {"scenario_id": scenario.scenario_id, "side": side.value, **anchor_row(anchor, labels)}
        for anchor in (() if alignment is None else alignment.anchors)
    ]
    return run.write("alignment", side, rows, run.origin(("runs", side)))


def anchor_row(anchor: AlignedAnchor, labels: Mapping[str, str]) -> dict[str, str | float | int]:
    """Return one graded essay as the warehouse and the CLI's JSON show it. labels: by essay id."""
    return {
        "essay_id": anchor.essay_id,
        "label": labels[anchor.essay_id],
        "grade": anchor.grade,
        "theta": anchor.theta,
        "rank": anchor.rank,
        "expected_rank": anchor.expected_rank,
        "wins": anchor.wins,
        "losses": anchor.losses,
        "win_rate": anchor.win_rate,
    }


@dataclass(frozen=True, slots=True)
class Target:
    """One of production's targets: what was measured, and whether it is met."""

    measure: str
    value: str
    wanted: str
    met: bool


def targets(alignment: Alignment) -> tuple[Target, ...]:
    """Hold an alignment against production's targets."""
    inversions, zero_win = len(alignment.inversions), len(alignment.zero_win)
    return (
        Target("Kendall tau-a", f"{alignment.tau_a:.3f}", f">= {TARGET_TAU:.2f}", alignment.tau_a >= TARGET_TAU),
        Target("direct inversions", f"{inversions}", f"<= {TARGET_INVERSIONS}", inversions <= TARGET_INVERSIONS),
        Target("anchors without a win", f"{zero_win}", f"{TARGET_ZERO_WIN}", zero_win <= TARGET_ZERO_WIN),
    )


def alignment_markdown(title: str, alignment: Alignment, labels: Mapping[str, str]) -> str:
    """Return the report as markdown: summary against production's targets, one line per anchor, inversions if any."""
    names = {essay: markdown_text(label) for essay, label in labels.items()}
    lines = [
        f"## {markdown_text(title)}",
        "",
        "| measure | value | target |",
        "|---|---|---|",
        *(
            f"| {target.measure} | {target.value} | {target.wanted}, {'met' if target.met else 'missed'} |"
            for target in targets(alignment)
        ),
        "",
        "| expected | rank | anchor | grade | theta (logits) | W | L | win rate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for anchor in sorted(alignment.anchors, key=lambda anchor: anchor.expected_rank):
        lines.append(
            f"| {anchor.expected_rank} | {anchor.rank} | {names[anchor.essay_id]} | {markdown_text(anchor.grade)} "
            f"| {anchor.theta:.3f} | {anchor.wins} | {anchor.losses} | {anchor.win_rate:.2f} |"
        )
    if alignment.inversions:
        lines += ["", "Direct inversions: " + "; ".join(
            f"{names[pair.lower]} beat {names[pair.higher]}" for pair in alignment.inversions
        ) + "."]  # fmt: skip
    return "\n".join(lines) + "\n"
