"""This module gathers what a report shows beside its checks: decisions, what it would find, where its sides come from.

The page and the Markdown show the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import zip_longest

from cj_pipeline.parity.check import Case
from cj_pipeline.parity.compare import ParityReport
from cj_pipeline.parity.divergence import first_divergence, first_divergence_sentence
from cj_pipeline.runs.record import NOT_REPLAYED, LoggedDecision, RunRecord
from cj_pipeline.traces.provenance import Provenance
from cj_pipeline.warehouse.origin import code_version

_MOST_REPLAYED = 2_000
"""Callbacks up to which a report says what one flipped answer changes: the engine replays them within a second."""


@dataclass(frozen=True, slots=True)
class DecisionStep:
    """One step of the engine on both sides, in words; empty where a side took no more."""

    number: int
    recorded: str
    live: str

    @property
    def same(self) -> bool:
        """Return whether both sides decided alike."""
        return self.recorded == self.live


def decision_path(report: ParityReport) -> tuple[DecisionStep, ...]:
    """Return what the engine decided on each side, step by step; nothing where it saw neither."""
    sides = zip_longest(report.recorded.document.decisions, report.live.document.decisions)
    return tuple(DecisionStep(at, _decided(recorded), _decided(live)) for at, (recorded, live) in enumerate(sides, 1))


def divergence_sentence(report: ParityReport) -> str:
    """Return where the sides first answer differently and what that one answer changes, as a sentence."""
    case = Case(report.scenario, report.recorded, report.live)
    replayed = report.recorded.document.upload_status != NOT_REPLAYED
    if not replayed or len(report.recorded.events) > _MOST_REPLAYED:
        words = first_divergence_sentence(case)
        return f"{words[0].upper()}{words[1:]}."
    found = first_divergence(case)
    return "Every common comparison has the same answer." if found is None else found.sentence


def error_codes(report: ParityReport) -> tuple[tuple[str, int, int], ...]:
    """Return each code of an error with how often it came, recorded and live; the most frequent first."""
    recorded, live = (_codes(run) for run in (report.recorded, report.live))
    return tuple((code, recorded[code], live[code]) for code, _ in (recorded + live).most_common())


def provenance_rows(report: ParityReport, provenances: Sequence[Provenance]) -> tuple[tuple[str, str], ...]:
    """Return what the verdict is about: sides, digests, seed and code. provenances: of the recordings."""
    recorded, live = report.recorded.document, report.live.document
    code = code_version()
    rows = [
        ("scenario", report.scenario.scenario_id),
        ("profile of margins", report.scenario.profile.value),
        *(("recording", f"{one.origin.value}; {one.statement}") for one in provenances),
        ("recorded answers", _span(report.recorded)),
        ("recorded sha256", recorded.judge_sha256),
        ("live judge", live.judge),
        ("live sha256", live.judge_sha256),
        ("live answers", _span(report.live)),
        ("live answers sha256", report.live.answers_sha256()),
        ("live seed", str(live.seed) if live.asked_batch_ids else "none: a recording"),
        ("code", f"cj-pipeline {code.version}" + (f", commit {code.git_sha[:12]}" if code.git_sha else "")),
    ]
    return tuple((name, value) for name, value in rows if value)


def _decided(decision: LoggedDecision | None) -> str:
    if decision is None:
        return ""
    return f"{decision.kind}: {decision.reason}, after {decision.callbacks} callbacks"


def _codes(run: RunRecord) -> Counter[str]:
    return Counter(str(one.error_detail.error_code) for one in run.pooled_callbacks if one.error_detail is not None)


def _span(run: RunRecord) -> str:
    callbacks = run.pooled_callbacks
    if not callbacks:
        return "none"
    times = [callback.completed_at.astimezone(UTC) for callback in callbacks]
    return f"{len(callbacks):,} callbacks, {min(times):%Y-%m-%d %H:%M:%S} to {max(times):%Y-%m-%d %H:%M:%S} UTC"
