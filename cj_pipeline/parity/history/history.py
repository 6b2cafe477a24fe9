"""This module reads the history of a scenario: nights, named changes, how long a check is red, and unnamed changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from statistics import fmean
from typing import Any

from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.foundation.text import signed
from cj_pipeline.parity.compare import Verdict
from cj_pipeline.parity.history.changes import alarm_threshold, find_changes
from cj_pipeline.warehouse.history import history_scenarios, read_history
from cj_pipeline.warehouse.rows import Row

NAMED = {
    "mode_sha": "the mode",
    "recording_sha": "the recording",
    "code_sha": "the code",
    "scenario_sha": "the scenario file",
}
"""What starts a series afresh, by column of the history."""

_SHORT = 8


@dataclass(frozen=True, slots=True)
class Night:
    """One published run. rows: of its checks, by name."""

    run_id: str
    time: datetime
    rows: Mapping[str, Row]
    run: Row

    @property
    def verdict(self) -> str:
        """The verdict of the run."""
        return str(self.run["run_verdict"])

    @property
    def as_expected(self) -> bool:
        """Whether it is the verdict that the scenario expects."""
        return bool(self.run["run_verdict"] == self.run["expected_verdict"])


@dataclass(frozen=True, slots=True)
class NamedChange:
    """What changed between two nights, by name: from this night on, series are compared with a past of their own."""

    time: datetime
    run_id: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of one check that nothing named explains. before, after: mean differences, over so many nights."""

    check: str
    unit: str
    begins: datetime
    found: datetime
    found_run: str
    before: float
    nights_before: int
    after: float
    nights_after: int

    @property
    def sentence(self) -> str:
        """The change in words."""
        return (
            f"{self.check} changed about {self.begins:%Y-%m-%d}: live minus recorded was {signed(self.before)} "
            f"{self.unit} (mean of {self.nights_before} runs) and is {signed(self.after)} (of "
            f"{self.nights_after}); found on {self.found:%Y-%m-%d}. Mode, recording, code and scenario file are the "
            "same, so look at libraries, machine and configuration."
        )


@dataclass(frozen=True, slots=True)
class CheckHistory:
    """The series of one check. rows: a night each, oldest first, where the check is on; red_since: None when green.

    mean, nights: of the differences since the last named change or shift; mean is None for a check without evidence.
    """

    check: str
    rows: tuple[Row, ...]
    red_since: datetime | None
    mean: float | None
    nights: int
    shifts: tuple[Shift, ...]

    @property
    def last(self) -> Row:
        """The newest night."""
        return self.rows[-1]


@dataclass(frozen=True, slots=True)
class ScenarioHistory:
    """The history of one scenario. red_since: since when the verdict is not the expected one; None when it is."""

    scenario_id: str
    nights: tuple[Night, ...]
    named: tuple[NamedChange, ...]
    checks: tuple[CheckHistory, ...]

    @property
    def red_since(self) -> datetime | None:
        """Since when the verdict is not the one that the scenario expects; None when it is."""
        return _red_since([(night.time, not night.as_expected) for night in self.nights])

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """The changes that nothing named explains, oldest first."""
        return tuple(sorted((one for check in self.checks for one in check.shifts), key=lambda one: one.found))

    @property
    def new_shifts(self) -> tuple[Shift, ...]:
        """Those that the newest run showed."""
        return tuple(one for one in self.shifts if one.found_run == self.nights[-1].run_id)


def load_history(root: DataPath, scenario_id: str) -> ScenarioHistory | None:
    """Return the history of a scenario; None before its first published run. root: the data folder.

    Raises BadInput naming a file that is no history.
    """
    rows = read_history(root, scenario_id)
    return history_of(rows, alarm_threshold(len(history_scenarios(root)))) if rows else None


def history_of(rows: Sequence[Row], threshold: float) -> ScenarioHistory:
    """Return the history that some rows of one scenario tell; there is at least one row. threshold: of an alarm."""
    nights = _nights(rows)
    epochs = _epochs(nights)
    names = dict.fromkeys(name for night in nights for name in night.rows)
    checks = (_check_history(name, epochs, threshold) for name in names)
    return ScenarioHistory(
        scenario_id=str(rows[0]["scenario_id"]),
        nights=nights,
        named=tuple(_named(before[-1], after[0]) for before, after in pairwise(epochs)),
        checks=tuple(check for check in checks if check is not None),
    )


def _nights(rows: Sequence[Row]) -> tuple[Night, ...]:
    ordered = sorted(rows, key=lambda row: (row["time"], row["run_id"]))
    found = []
    for run_id, group in groupby(ordered, key=lambda row: str(row["run_id"])):
        of_run = list(group)
        found.append(Night(run_id, of_run[0]["time"], {str(row["check"]): row for row in of_run}, of_run[0]))
    return tuple(found)


def _epochs(nights: Sequence[Night]) -> list[list[Night]]:
    """Cut nights where something changed that has a name."""
    return [list(group) for _, group in groupby(nights, key=lambda night: [night.run[name] for name in NAMED])]


def _named(before: Night, after: Night) -> NamedChange:
    changed = [
        f"{words} ({_short(before.run[name])} -> {_short(after.run[name])})"
        for name, words in NAMED.items()
        if before.run[name] != after.run[name]
    ]
    return NamedChange(after.time, after.run_id, f"{' and '.join(changed)} changed")


def _check_history(name: str, epochs: Sequence[Sequence[Night]], threshold: float) -> CheckHistory | None:
    rows = [night.rows[name] for epoch in epochs for night in epoch if name in night.rows]
    on = [row for row in rows if row["verdict"] != Verdict.OFF]
    if not on:
        return None
    shifts: list[Shift] = []
    recent: list[float] = []
    for epoch in epochs:
        series = _distinct([night.rows[name] for night in epoch if name in night.rows])
        values = [row["difference"] for row in series]
        changes = find_changes(values, threshold)
        # A shift is compared with what came after the alarm of the one before it.
        starts = [0, *(change.found + 1 for change in changes)]
        for start, change in zip(starts, changes, strict=False):
            shifts.append(
                Shift(
                    check=name,
                    unit=series[0]["unit"],
                    begins=series[change.begins]["time"],
                    found=series[change.found]["time"],
                    found_run=series[change.found]["run_id"],
                    before=fmean(values[start : change.begins]),
                    nights_before=change.begins - start,
                    after=fmean(values[change.begins : change.found + 1]),
                    nights_after=change.found + 1 - change.begins,
                )
            )
        recent = values[changes[-1].begins if changes else 0 :]
    return CheckHistory(
        check=name,
        rows=tuple(on),
        red_since=_red_since([(row["time"], row["verdict"] == Verdict.FAIL) for row in on]),
        mean=fmean(recent) if recent else None,
        nights=len(recent),
        shifts=tuple(shifts),
    )


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that have a difference, each answer of the mock once: the same seed again is no new evidence."""
    known: set[Any] = set()
    found = []
    for row in rows:
        if row["difference"] is not None and row["answers_sha"] not in known:
            known.add(row["answers_sha"])
            found.append(row)
    return found


def _red_since(nights: Sequence[tuple[datetime, bool]]) -> datetime | None:
    since = None
    for time, red in nights:
        since = (since or time) if red else None
    return since


def _short(digest: object) -> str:
    return str(digest)[:_SHORT] or "unknown"
