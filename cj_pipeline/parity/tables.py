"""Parity reports in the warehouse: one row per check."""

from __future__ import annotations

from pathlib import Path

from cj_pipeline.parity.compare import CheckResult, ParityReport
from cj_pipeline.warehouse.store import Row, Warehouse

PART = "parity"


def store_report(warehouse: Warehouse, report: ParityReport) -> Path:
    """Write every check of a report, switched-off ones included."""
    scenario_id = report.scenario.scenario_id
    return warehouse.write("parity_checks", scenario_id, PART, [check_row(scenario_id, r) for r in report.results])


def check_row(scenario_id: str, result: CheckResult) -> Row:
    """One check as a row of the dataset `parity_checks`, which is also how the CLI's JSON shows it."""
    outcome = result.outcome
    evidence = None if outcome is None else outcome.evidence
    return {
        "scenario_id": scenario_id,
        "check": result.check.name,
        "verdict": result.verdict.value,
        "evidence": None if evidence is None else evidence.verdict.value,
        "recorded": None if outcome is None else outcome.recorded,
        "live": None if outcome is None else outcome.live,
        "value": None if outcome is None else outcome.value,
        "tolerance": "" if outcome is None else outcome.tolerance,
        "unit": "" if outcome is None else outcome.unit,
        "sentence": result.sentence,
    }
