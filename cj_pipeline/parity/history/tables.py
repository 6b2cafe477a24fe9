"""This module lays a history out as rows and sentences, for the terminal, Dagster and pages alike."""

from __future__ import annotations

from cj_pipeline.parity.history.history import CheckHistory, ScenarioHistory

SCENARIO_COLUMNS = ("scenario", "runs", "first", "last", "verdict", "red_since", "started_afresh", "changes")
CHECK_COLUMNS = ("check", "verdict", "runs", "last", "mean", "unit", "red_since", "changes")
NIGHT_COLUMNS = (
    *("time", "run", "verdict", "difference", "value", "unit", "tolerance", "margin_low", "margin_high"),
    *("noise_low", "noise_high", "seed", "mode_sha", "recording_sha", "code_sha", "scenario_sha"),
)


def scenario_row(found: ScenarioHistory) -> list[object]:
    """Return one scenario as values of SCENARIO_COLUMNS; times are UTC."""
    last = found.nights[-1]
    return [
        found.scenario_id,
        len(found.nights),
        found.nights[0].time,
        last.time,
        last.verdict,
        found.red_since,
        len(found.named),
        len(found.shifts),
    ]


def check_rows(found: ScenarioHistory) -> list[list[object]]:
    """Return the checks of a scenario as values of CHECK_COLUMNS.

    last, mean: live minus recorded, of the newest run and since the last change. runs: those that the mean is of; a
    check without evidence has neither, since its values are compared exactly.
    """
    return [
        [
            check.check,
            check.last["verdict"],
            check.nights,
            check.last["difference"],
            check.mean,
            check.last["unit"],
            check.red_since,
            len(check.shifts),
        ]
        for check in found.checks
    ]


def night_rows(check: CheckHistory) -> list[list[object]]:
    """Return the runs of one check as values of NIGHT_COLUMNS, the oldest first."""
    return [[row["run_id" if name == "run" else name] for name in NIGHT_COLUMNS] for row in check.rows]


def sentences(found: ScenarioHistory, check: str | None = None) -> list[str]:
    """Return what happened in words: red since when, what changed by name, what changed without one.

    check: the one to speak of; all by default.
    """
    lines = []
    if found.red_since is not None:
        lines.append(f"Not as expected since {found.red_since:%Y-%m-%d} ({found.nights[-1].verdict}).")
    lines += [
        f"{one.check} is red since {one.red_since:%Y-%m-%d}."
        for one in found.checks
        if one.red_since is not None and check in (None, one.check)
    ]
    lines += [f"{one.time:%Y-%m-%d}: {one.sentence}; series start afresh." for one in found.named]
    return lines + [one.sentence for one in found.shifts if check in (None, one.check)]
