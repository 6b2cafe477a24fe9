"""This module keeps parity reports in the warehouse: a row for each check, made of runs that are stored there too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.text import plain
from cj_pipeline.parity.compare import CheckResult, ParityReport, Verdict, compare
from cj_pipeline.parity.evidence import Evidence, EvidenceVerdict
from cj_pipeline.parity.verdict import Doubt, Parity, Reason
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.tables import load_run
from cj_pipeline.traces.provenance import Provenance
from cj_pipeline.traces.scenario import Scenario
from cj_pipeline.warehouse.store import Row, Warehouse

PART = "parity"


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """The stored verdict of one scenario, its reasons in words, and its checks: how many are on, off, inconclusive."""

    scenario_id: str
    verdict: Parity
    expected: Parity
    reasons: tuple[Reason, ...]
    checks_on: int
    checks_off: int
    inconclusive: int
    failing: tuple[str, ...]

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one that the scenario expects."""
        return self.verdict is self.expected

    @property
    def words(self) -> str:
        """The verdict, and the expected one beside it where a scenario names one or this is another."""
        return verdict_words(self.verdict, self.expected)


def verdict_words(verdict: Parity, expected: Parity) -> str:
    """Return a verdict in words, with the expected one where it is not PARITY."""
    if verdict is expected:
        return verdict.value if expected is Parity.PARITY else f"{verdict}, as expected"
    return verdict.value if expected is Parity.PARITY else f"{verdict}, expected {expected}"


def compare_stored(
    warehouse: Warehouse, scenario: Scenario, *, scenario_file: Path | str, provenance: Provenance | None = None
) -> ParityReport:
    """Compare the two stored runs of a scenario. Raises BadInput when one was never stored, and as compare does."""
    recorded, live = (load_run(warehouse, scenario.scenario_id, side) for side in (Side.RECORDED, Side.LIVE))
    return compare(scenario, recorded, live, scenario_file=scenario_file, provenance=provenance)


def stored_verdicts(warehouse: Warehouse, scenario_ids: Iterable[str]) -> tuple[StoredVerdict, ...]:
    """Return what the stored reports say, of those scenarios that have one."""
    found = []
    for scenario_id in scenario_ids:
        try:
            rows = warehouse.read("parity_checks", scenario_id, PART)
        except BadInput:
            continue
        found.append(stored_verdict(scenario_id, rows))
    return tuple(found)


def stored_verdict(scenario_id: str, rows: Sequence[Row]) -> StoredVerdict:
    """Return what the rows of one stored report say."""
    off = sum(row["verdict"] == Verdict.OFF for row in rows)
    return StoredVerdict(
        scenario_id=scenario_id,
        verdict=Parity(rows[0]["run_verdict"]),
        expected=Parity(rows[0]["expected_verdict"]),
        reasons=tuple(
            Reason(Doubt[doubt], sentence)
            for doubt, sentence in zip(
                filter(None, rows[0]["run_doubts"].split(",")), rows[0]["run_reasons"].splitlines(), strict=True
            )
        ),
        checks_on=len(rows) - off,
        checks_off=off,
        inconclusive=sum(row["evidence"] == EvidenceVerdict.INCONCLUSIVE for row in rows),
        failing=tuple(row["check"] for row in rows if row["verdict"] == Verdict.FAIL),
    )


def store_report(warehouse: Warehouse, report: ParityReport) -> Path:
    """Write every check of a report, switched-off ones included."""
    return warehouse.write("parity_checks", report.scenario.scenario_id, PART, report_rows(report))


def report_rows(report: ParityReport) -> list[Row]:
    """Return the rows of the dataset `parity_checks`: every check, and on each the verdict of the run."""
    run = {
        "run_verdict": report.verdict.value,
        "expected_verdict": report.expected.value,
        "run_doubts": ",".join(reason.doubt.name for reason in report.reasons),
        "run_reasons": "\n".join(plain(reason.sentence) for reason in report.reasons),
    }
    scenario_id = report.scenario.scenario_id
    return [{"scenario_id": scenario_id, **check_row(result), **run} for result in report.results]


def check_row(result: CheckResult) -> Row:
    """Return one check as a row, which is also how the CLI's JSON shows it."""
    outcome = result.outcome
    return {
        "check": result.check.name,
        "verdict": result.verdict.value,
        "evidence": None if result.evidence is None else result.evidence.verdict.value,
        "recorded": None if outcome is None else outcome.recorded,
        "live": None if outcome is None else outcome.live,
        "value": None if outcome is None else outcome.value,
        "tolerance": "" if outcome is None else outcome.tolerance,
        "unit": "" if outcome is None else outcome.unit,
        **_numbers(result.evidence),
        "sentence": result.sentence,
    }


_NUMBERS = ("difference", "low", "high", "margin_low", "margin_high", "noise_low", "noise_high", "p", "detectable")


def _numbers(evidence: Evidence | None) -> Row:
    """Return the numbers behind the evidence; None for what is unbounded."""
    if evidence is None:
        return dict.fromkeys((*_NUMBERS, "n_recorded", "n_live"))
    values = (
        evidence.difference,
        evidence.low,
        evidence.high,
        evidence.margin.low,
        evidence.margin.high,
        evidence.noise.low,
        evidence.noise.high,
        evidence.p,
        evidence.detectable,
    )
    numbers = {name: value if math.isfinite(value) else None for name, value in zip(_NUMBERS, values, strict=True)}
    recorded, live = evidence.observations
    return {**numbers, "n_recorded": recorded, "n_live": live}
