"""Parity reports in the warehouse: one row per check, made of runs that are stored there too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.parity.compare import CheckResult, ParityReport, Verdict, compare
from cj_pipeline.parity.evidence import EvidenceVerdict
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.tables import load_run
from cj_pipeline.traces.scenario import Scenario
from cj_pipeline.warehouse.store import Row, Warehouse

PART = "parity"


@dataclass(frozen=True, slots=True)
class StoredVerdicts:
    """The checks of one scenario, counted by verdict; the names of those that failed, in the report's order."""

    scenario_id: str
    passed: int
    failed: int
    off: int
    inconclusive: int
    failing: tuple[str, ...]


def compare_stored(warehouse: Warehouse, scenario: Scenario, *, scenario_file: Path | str) -> ParityReport:
    """Compare the two stored runs of a scenario. Raises BadInput when one was never stored, and as compare does."""
    recorded, live = (load_run(warehouse, scenario.scenario_id, side) for side in (Side.RECORDED, Side.LIVE))
    return compare(scenario, recorded, live, scenario_file=scenario_file)


def stored_verdicts(warehouse: Warehouse, scenario_ids: Iterable[str]) -> tuple[StoredVerdicts, ...]:
    """What the stored reports say, of those scenarios that have one."""
    found = []
    for scenario_id in scenario_ids:
        try:
            rows = warehouse.read("parity_checks", scenario_id, PART)
        except BadInput:
            continue
        counted = Counter(row["verdict"] for row in rows)
        found.append(
            StoredVerdicts(
                scenario_id=scenario_id,
                passed=counted[Verdict.PASS],
                failed=counted[Verdict.FAIL],
                off=counted[Verdict.OFF],
                inconclusive=sum(row["evidence"] == EvidenceVerdict.INCONCLUSIVE for row in rows),
                failing=tuple(row["check"] for row in rows if row["verdict"] == Verdict.FAIL),
            )
        )
    return tuple(found)


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
