"""This module writes one page over all scenarios of a night: verdicts, what changed since last time, trends.

Last time is the run before in the history of the scenario, which has no trials and outlives the folders of its runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from cj_pipeline.foundation.text import signed
from cj_pipeline.parity.compare import Verdict
from cj_pipeline.parity.history.history import ScenarioHistory, load_history
from cj_pipeline.parity.tables import CHECKS, stored_verdict
from cj_pipeline.parity.verdict import Parity
from cj_pipeline.reports.page.answers import SIGNS
from cj_pipeline.reports.page.page import render
from cj_pipeline.warehouse.rows import Row
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.schemas import PARITY_PART

MOST_RUNS = 30
"""Of one scenario on a page: the newest."""

_MOVED = 0.5
"""Of a tolerance: a gate that moved farther since last time is named."""
_FARTHEST = 2.0
_WIDTH, _HEIGHT = 100.0, 24.0


@dataclass(frozen=True, slots=True)
class PastRun:
    """The checks of one run, and when it wrote them."""

    written_at: datetime
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class SuiteEntry:
    """One scenario of the page. runs: the earlier ones and this one last; address: of its own page, empty for none.

    history: with this run as its newest; None where the run is not in it, as a trial. problem: why there is no run, or
    what broke off after its verdict.
    """

    scenario_id: str
    runs: Sequence[PastRun]
    address: str = ""
    problem: str = ""
    history: ScenarioHistory | None = None


def entry_of(run: RunFolder, address: str = "") -> SuiteEntry:
    """Return the entry of a run that came to a report, with what the history of its scenario has before it."""
    this = PastRun(run.stamp(CHECKS, PARITY_PART).written_at, run.read(CHECKS, PARITY_PART))
    found = load_history(run.root, run.scenario_id)
    nights = () if found is None else found.nights
    earlier = [
        PastRun(night.time, list(night.rows.values()))
        for night in nights
        if night.run_id != run.run_id and night.time <= this.written_at
    ]
    newest = bool(nights) and nights[-1].run_id == run.run_id
    return SuiteEntry(
        run.scenario_id,
        (*earlier[-(MOST_RUNS - 1) :], this),
        address=address,
        history=found if newest else None,
    )


def suite_page(entries: Sequence[SuiteEntry]) -> str:
    """Return the page over some scenarios, those that need somebody first."""
    shown = sorted((_shown(entry) for entry in entries), key=lambda one: (one["place"], one["scenario"]))
    calm = sum(one["place"] == _CALM for one in shown)
    headline = f"{calm} of {len(shown)} scenarios came out as expected."
    return render("suite.html", title="Parity, all scenarios", headline=headline, shown=shown)


_CALM = 3
_STATES = {Verdict.FAIL.value: "failed", Verdict.PARTIAL.value: "partial"}
_PLACES = {Parity.NO_PARITY: 1, Parity.CANNOT_TELL: 2, Parity.PARITY: 2}
_BROKE_OFF: dict[str, object] = {"place": 0, "verdict": "", "sign": "✗"}
_NO_RUN = _BROKE_OFF | {
    "words": "broke off",
    "counts": "",
    "red_since": "",
    "before": "",
    "failing": (),
    "reasons": (),
    "drifts": (),
    "changes": (),
    "checks": (),
    "runs": 0,
    "when": "",
}


def _shown(entry: SuiteEntry) -> dict[str, object]:
    about: dict[str, object] = {"scenario": entry.scenario_id, "address": entry.address, "problem": entry.problem}
    if not entry.runs:
        return _NO_RUN | about
    *earlier, this = entry.runs
    found = stored_verdict(entry.scenario_id, this.rows)
    last = earlier[-1] if earlier else None
    history = entry.history
    drifts = () if history is None else tuple(one.sentence for one in history.new_shifts)
    place = _PLACES[found.verdict] if not found.as_expected else 2 if drifts else _CALM
    shown = about | {
        "place": place,
        "verdict": found.verdict.value,
        "sign": SIGNS[found.verdict],
        "words": found.words,
        "counts": f"{len(found.failing)} of {found.checks_on} gates failed, {found.inconclusive} inconclusive",
        "red_since": _day(None if history is None else history.red_since),
        "failing": found.failing,
        "reasons": [reason.sentence for reason in found.reasons],
        "drifts": drifts,
        "changes": () if last is None else (*_named(history), *changes(last.rows, this.rows)),
        "moved": () if last is None else moved(last.rows, this.rows),
        "before": "" if last is None else f"{last.written_at:%Y-%m-%d %H:%M} UTC",
        "runs": len(entry.runs),
        "when": f"{this.written_at:%Y-%m-%d %H:%M} UTC",
        "checks": _checks(entry.runs, history),
    }
    return shown | _BROKE_OFF | {"words": f"{found.words}, then broke off"} if entry.problem else shown


def _named(history: ScenarioHistory | None) -> tuple[str, ...]:
    """Return what the newest run has changed by name: mode, recording, code, scenario file."""
    if history is None:
        return ()
    newest = history.nights[-1].run_id
    return tuple(
        f"{one.sentence[:1].upper()}{one.sentence[1:]}; trends start afresh."
        for one in history.named
        if one.run_id == newest
    )


def _day(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d}"


def changes(last: Sequence[Row], this: Sequence[Row]) -> tuple[str, ...]:
    """Return what changed between two runs of a scenario, in sentences: the verdict, gates, which checks there are."""
    lines = []
    before, now = (Parity(rows[0]["run_verdict"]) for rows in (last, this))
    if before is not now:
        lines.append(f"The verdict was {before}, and is {now}.")
    by_name = {row["check"]: row for row in last}
    for row in this:
        other = by_name.get(row["check"])
        if other is None:
            lines.append(f"{row['check']} is new.")
        elif other["verdict"] != row["verdict"]:
            lines.append(f"{row['check']}: {other['verdict']} before, {row['verdict']} now. {row['sentence']}.")
    gone = sorted(set(by_name) - {row["check"] for row in this})
    return (*lines, *(f"{name} is gone." for name in gone))


def moved(last: Sequence[Row], this: Sequence[Row]) -> tuple[str, ...]:
    """Return which gates moved by more than half of their tolerance and gave the same result: mostly chance."""
    by_name = {row["check"]: row for row in last}
    return tuple(
        f"{row['check']} (from {signed(other['difference'])} to {signed(row['difference'])} {row['unit']})"
        for row in this
        if (other := by_name.get(row["check"])) is not None
        and other["verdict"] == row["verdict"]
        and row["difference"] is not None
        and other["difference"] is not None
        and abs((_share(row) or 0.0) - (_share(other) or 0.0)) > _MOVED
    )


def _checks(runs: Sequence[PastRun], known: ScenarioHistory | None) -> list[dict[str, object]]:
    """Return each check that is on with its trend, those that failed first, then those that use most tolerance."""
    history: dict[str, list[float | None]] = {}
    for past in runs:
        by_name: Mapping[str, Row] = {row["check"]: row for row in past.rows}
        for row in runs[-1].rows:
            history.setdefault(row["check"], []).append(_share(by_name.get(row["check"])))
    red = {} if known is None else {one.check: _day(one.red_since) for one in known.checks}
    found = [
        {
            "name": row["check"],
            "state": _STATES.get(row["verdict"], "proven"),
            "verdict": row["verdict"],
            "red_since": red.get(row["check"], ""),
            "difference": "exact" if row["difference"] is None else f"{signed(row['difference'])} {row['unit']}",
            "share": abs(_share(row) or 0.0),
            "spark": _sparkline(row["check"], history[row["check"]]),
        }
        for row in runs[-1].rows
        if row["verdict"] != Verdict.OFF
    ]
    return sorted(found, key=lambda one: (one["state"] != "failed", -float(str(one["share"]))))


def _share(row: Row | None) -> float | None:
    """Return a difference as a share of what it may come to; None for a check without one."""
    if row is None or row["difference"] is None:
        return None
    side = "high" if row["difference"] >= 0 else "low"
    limits = [abs(row[f"{kind}_{side}"]) for kind in ("margin", "noise") if row[f"{kind}_{side}"] is not None]
    allowed = max(limits, default=0.0)
    return None if allowed <= 0 else float(row["difference"]) / allowed


def _sparkline(name: str, shares: Sequence[float | None]) -> Markup:
    """Draw a check over its runs, the newest on the right with a dot, and its tolerance as a band; empty for none."""
    step = _WIDTH / max(len(shares) - 1, 1)
    points = [
        (
            index * step if len(shares) > 1 else _WIDTH,
            _HEIGHT / 2 * (1 - min(max(share, -_FARTHEST), _FARTHEST) / _FARTHEST),
        )
        for index, share in enumerate(shares)
        if share is not None
    ]
    if not points:
        return Markup("")
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup(
        '<svg class="spark" role="img" aria-label="{} over {} runs" viewBox="-2 -2 104 28">'
        '<rect class="within" x="-2" y="6" width="104" height="12"/><polyline points="{}"/>'
        '<circle cx="{:.1f}" cy="{:.1f}" r="2.4"/></svg>'
    ).format(name, len(shares), line, *points[-1])
