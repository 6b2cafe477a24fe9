"""This module keeps parity reports in the folders of runs: a document that is the comparison, and a row per check."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.foundation.text import plain
from cj_pipeline.parity.check import Case
from cj_pipeline.parity.compare import CheckResult, ParityReport, Verdict, compare
from cj_pipeline.parity.evidence import Evidence, EvidenceVerdict
from cj_pipeline.parity.gauntlet.limits import limit_values
from cj_pipeline.parity.report_document import report_document, report_of
from cj_pipeline.parity.verdict import Doubt, Parity, Reason
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.recorded_side import further_runs
from cj_pipeline.runs.tables import load_answers, load_run
from cj_pipeline.traces.provenance import Provenance
from cj_pipeline.traces.scenario import Scenario
from cj_pipeline.warehouse.content_cache import cache_in

if TYPE_CHECKING:
    from cj_pipeline.warehouse.rows import Row
    from cj_pipeline.warehouse.run_folder import RunFolder
    from cj_pipeline.warehouse.store import Warehouse

CHECKS = "parity_checks"

_BOTH_RUNS = tuple(("runs", side) for side in Side)


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """The stored verdict of one scenario, its reasons in words, and its checks: how many are on, off, inconclusive.

    run_id: of the run that stored it; empty where the rows were not read from one.
    """

    scenario_id: str
    run_id: str
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
    run: RunFolder,
    scenario: Scenario,
    *,
    scenario_file: Path | str,
    strict: bool = False,
    provenances: Sequence[Provenance] = (),
) -> ParityReport:
    """Compare the two sides of a run, by every recording. The rest is as in `compare`.

    Raises BadInput when this run did not make a side, and as compare does.
    """
    case = stored_case(run, scenario)
    return compare(
        scenario,
        case.recorded,
        case.live,
        scenario_file=scenario_file,
        further=case.further,
        strict=strict,
        provenances=provenances,
        cached=cache_in(run.root),
    )


def stored_case(run: RunFolder, scenario: Scenario) -> Case:
    """Return the two sides of a run, with every recording. Raises BadInput when this run did not make a side."""
    recorded, live = (load_run(run, side) for side in (Side.RECORDED, Side.LIVE))
    return Case(scenario, recorded, live, further_runs(scenario, load_answers(run, Side.RECORDED).further))


def store_report(run: RunFolder, report: ParityReport) -> DataPath:
    """Write a report, and every check of it as a row, switched-off ones included. Return the file of the rows."""
    from cj_pipeline.warehouse.schemas import DETECTION_LIMITS, PARITY_PART, REPORTS

    origin = run.origin(*_BOTH_RUNS)
    row = {
        "scenario_id": report.scenario.scenario_id,
        "verdict": report.verdict.value,
        "as_expected": report.as_expected,
        "recorded_judge": report.recorded.document.judge,
        "live_judge": report.live.document.judge,
        "document": report_document(report),
    }
    run.write(REPORTS, PARITY_PART, [row], origin)
    limits = [{"scenario_id": report.scenario.scenario_id, **limit_values(limit)} for limit in report.limits]
    run.write(DETECTION_LIMITS, PARITY_PART, limits, origin)
    return run.write(CHECKS, PARITY_PART, report_rows(report), origin)


def load_report(run: RunFolder, scenario: Scenario) -> ParityReport:
    """Read the report that store_report wrote.

    Raises BadInput when this run made none, or it is not about the two sides that are there.
    """
    from cj_pipeline.warehouse.schemas import PARITY_PART, REPORTS

    run.origin((REPORTS, PARITY_PART), *_BOTH_RUNS)
    recorded, live = (load_run(run, side) for side in (Side.RECORDED, Side.LIVE))
    return report_of(run.read(REPORTS, PARITY_PART)[0]["document"], scenario, recorded, live)


def stored_verdicts(
    warehouse: Warehouse, scenario_ids: Collection[str]
) -> tuple[tuple[StoredVerdict, ...], tuple[str, ...]]:
    """Return what the published reports say, of scenarios with one that can be read, and a sentence for other files."""
    from cj_pipeline.warehouse.schemas import PARITY_PART

    published, problems = warehouse.sound(scenario_ids)
    runs = (
        warehouse.run(pointer.run_id, pointer.scenario_id)
        for pointer in published
        if pointer.scenario_id in scenario_ids
    )
    found = [run for run in runs if run.has(CHECKS, PARITY_PART)]
    verdicts = (stored_verdict(run.scenario_id, run.read(CHECKS, PARITY_PART)) for run in found)
    return tuple(verdicts), tuple(problems)


def stored_verdict(scenario_id: str, rows: Sequence[Row]) -> StoredVerdict:
    """Return what the rows of one stored report say."""
    off = sum(row["verdict"] == Verdict.OFF for row in rows)
    return StoredVerdict(
        scenario_id=scenario_id,
        run_id=rows[0].get("run_id", ""),
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
