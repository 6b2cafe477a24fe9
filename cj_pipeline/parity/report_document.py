"""This module writes a parity report as one JSON document, and reads it again beside the two runs it is about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.parity.check import Outcome
from cj_pipeline.parity.compare import BY_NAME, CheckResult, ParityReport, Verdict
from cj_pipeline.parity.gauntlet.limits import DetectionLimit
from cj_pipeline.parity.power import Detection
from cj_pipeline.parity.verdict import Parity, Reason
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.traces.scenario import Scenario


@dataclass(frozen=True, slots=True)
class _Result:
    check: str
    verdict: Verdict
    outcome: Outcome | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Document:
    results: tuple[_Result, ...]
    verdict: Parity
    reasons: tuple[Reason, ...]
    detections: tuple[Detection, ...]
    notes: tuple[str, ...]
    recordings: int
    invented: tuple[str, ...]
    limits: tuple[DetectionLimit, ...] = ()
    blind: tuple[str, ...] = ()


_ADAPTER = TypeAdapter(_Document)


def report_document(report: ParityReport) -> str:
    """Return a report as JSON, without its scenario and its two runs. Infinity is written as Python writes it."""
    document = _Document(
        results=tuple(_Result(r.check.name, r.verdict, r.outcome, r.reason) for r in report.results),
        verdict=report.verdict,
        reasons=report.reasons,
        detections=report.detections,
        notes=report.notes,
        recordings=report.recordings,
        invented=tuple(sorted(report.invented)),
        limits=report.limits,
        blind=report.blind,
    )
    written: dict[str, Any] = _ADAPTER.dump_python(document)
    return json.dumps(written)


def report_of(document: str, scenario: Scenario, recorded: RunRecord, live: RunRecord) -> ParityReport:
    """Return the report that report_document wrote. Raises CjPipelineError when other code wrote it."""
    try:
        read = _ADAPTER.validate_python(json.loads(document))
        results = tuple(CheckResult(BY_NAME[r.check], r.verdict, r.outcome, r.reason) for r in read.results)
    except (ValidationError, KeyError):
        raise CjPipelineError(
            f"The stored report of '{scenario.scenario_id}' was written by another version of the code. "
            "Materialise the scenario again."
        ) from None
    return ParityReport(
        scenario=scenario,
        recorded=recorded,
        live=live,
        results=results,
        verdict=read.verdict,
        reasons=read.reasons,
        detections=read.detections,
        notes=read.notes,
        recordings=read.recordings,
        invented=frozenset(read.invented),
        limits=read.limits,
        blind=read.blind,
    )
