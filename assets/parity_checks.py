"""This module makes the parity checks Dagster's: one asset check on `parity/report` for each, and one for the verdict.

The checks come from the report that the run's comparison stored, so report, rows and gates are of one comparison. The
step of a red run ends with one table of the gates that failed, in the UI and in the log.

A failed gate is an ERROR and turns the run red, unless NO PARITY is what the scenario expects. A gate that passed
although the evidence proves a difference is a WARN, and so is CANNOT TELL. A verdict that is not the expected one is an
ERROR, also when it is better.
"""

import math
from collections.abc import Iterator, Sequence

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    Failure,
    MetadataValue,
    PartitionsDefinition,
    multi_asset_check,
)

from assets.parity import BOTH_RUNS, verdict_metadata
from assets.published import published_report
from assets.specs import REPORT, about, table
from cj_pipeline.parity.compare import ALL_CHECKS, CheckResult, ParityReport, Verdict
from cj_pipeline.parity.tables import check_row, load_report
from cj_pipeline.parity.verdict import Parity
from cj_pipeline.reports.headline import headline, off_lines
from cj_pipeline.reports.parity_report import VERDICT, expected_failure
from cj_pipeline.warehouse.schemas import PARITY_PART, REPORTS
from resources.cj_engine import CjEngineResource
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource


def parity_checks(scenarios: PartitionsDefinition[str]) -> AssetChecksDefinition:
    """Return one blocking check on `parity/report` for each parity check and one for the verdict, all in one step."""
    asked = [(check.name, check.question, check.group) for check in ALL_CHECKS]
    asked.append((VERDICT, "Does the mock behave like the recorded judge, as far as this run can tell?", VERDICT))
    specs = [
        AssetCheckSpec(
            name,
            asset=REPORT,
            description=question,
            additional_deps=BOTH_RUNS,
            blocking=True,
            partitions_def=scenarios,
            metadata={"group": group},
        )
        for name, question, group in asked
    ]

    @multi_asset_check(name="parity_gates", specs=specs, can_subset=True)
    def gates(
        context: AssetCheckExecutionContext,
        trace_store: TraceStoreResource,
        engine: CjEngineResource,
        warehouse: WarehouseResource,
    ) -> Iterator[AssetCheckResult]:
        run = warehouse.run(context.partition_key)
        if run.has(REPORTS, PARITY_PART):
            scenario = engine.configured(trace_store.scenario(context.partition_key))
            report = load_report(run, scenario)
        else:  # gates alone, without the comparison in front of them
            report = published_report(context.partition_key, trace_store, engine, warehouse)
        wanted = {key.name for key in context.selected_asset_check_keys}
        results = [one for one in results_of(report) if one.check_name in wanted]
        red = [one for one in results if not one.passed and one.severity is AssetCheckSeverity.ERROR]
        # Dagster has no colour for off. A check without a result is grey in a run that succeeds, and red in one that
        # fails, where it is shown as a warning instead.
        yield from (one for one in results if red or not _is_off(one))
        if red:
            raise GatesFailed(report, red)

    return gates


def results_of(report: ParityReport) -> list[AssetCheckResult]:
    """Return a result for each gate of a report, and one for its verdict."""
    may_fail = expected_failure(report)
    gates = (outcome_of(one, report.scenario.scenario_id, may_fail=may_fail) for one in report.results)
    return [*gates, verdict_of(report)]


def _is_off(one: AssetCheckResult) -> bool:
    return dict(one.metadata or {}).get("verdict") in (Verdict.OFF.value, MetadataValue.text(Verdict.OFF.value))


class GatesFailed(Failure):
    """Ends the step of the gates of a red run, once every check has its result, with one table of what failed."""

    def __init__(self, report: ParityReport, red: Sequence[AssetCheckResult]) -> None:
        """Say what failed. red: the checks that turn the run red."""
        rows = [
            {"check": row["check"], "sentence": row["sentence"], "tolerance": row["tolerance"]}
            for row in map(check_row, report.failed)
            if any(one.check_name == row["check"] for one in red)
        ]
        width = max((len(row["check"]) for row in rows), default=0)
        lines = [f"  {row['check']:<{width}}  {row['sentence']} (tolerance {row['tolerance']})" for row in rows]
        super().__init__(
            description="\n".join([f"{about(report.scenario.scenario_id, headline(report))}.", *lines]),
            metadata={"failed_gates": table(rows)},
            allow_retries=False,
        )


def outcome_of(result: CheckResult, scenario_id: str, *, may_fail: bool = False) -> AssetCheckResult:
    """Return a check's result as Dagster's; one that is off has not passed. may_fail: failing is expected."""
    failed = result.verdict is Verdict.FAIL
    sentence = about(scenario_id, f"{'off: ' if result.verdict is Verdict.OFF else ''}{result.sentence}")
    return AssetCheckResult(
        asset_key=REPORT,
        check_name=result.check.name,
        passed=result.verdict is Verdict.PASS and not result.proven_different,
        severity=AssetCheckSeverity.ERROR if failed and not may_fail else AssetCheckSeverity.WARN,
        description=sentence,
        # The log of a run shows the metadata, and not the description.
        metadata={"sentence": sentence, "verdict": result.verdict.value, **_measured(result)},
    )


def verdict_of(report: ParityReport) -> AssetCheckResult:
    """Return the verdict as a check: passed when it is the expected one; CANNOT TELL is a WARN where PARITY was."""
    doubtful = report.verdict is Parity.CANNOT_TELL and report.expected is Parity.PARITY
    off = ({"check": line} for line in off_lines(report))
    return AssetCheckResult(
        asset_key=REPORT,
        check_name=VERDICT,
        passed=report.as_expected,
        severity=AssetCheckSeverity.WARN if doubtful or report.as_expected else AssetCheckSeverity.ERROR,
        description=about(report.scenario.scenario_id, headline(report)),
        metadata={**verdict_metadata(report), "off": table(off), **_failed_gates(report)},
    )


def _failed_gates(report: ParityReport) -> dict[str, int]:
    """Return the number of gates that failed as any check's value, and its limit where none is to fail."""
    ceiling = {"ceiling": 0} if report.expected is Parity.PARITY else {}
    return {"value": len(report.failed), **ceiling}


def _measured(result: CheckResult) -> dict[str, str | float]:
    """Return what was measured, as numbers where there are some: Dagster plots those over time, the limits beside."""
    if (outcome := result.outcome) is None:
        return {"reason": result.reason}
    numbers = {"value": outcome.value, "floor": outcome.floor, "ceiling": outcome.ceiling}
    numbers |= {"recorded": outcome.recorded, "live": outcome.live}
    words = {"tolerance": outcome.tolerance, "unit": outcome.unit}
    if (evidence := outcome.evidence) is not None:
        # Each number is a plot: what repeats another one, or hardly ever changes, is in the words.
        numbers |= {"low": evidence.low, "high": evidence.high, "p": evidence.p, "detectable": evidence.detectable}
        words |= {
            "margin": f"{evidence.margin.low:.4g} to {evidence.margin.high:.4g}",
            "noise": f"{evidence.noise.low:.4g} to {evidence.noise.high:.4g}",
            "observations": f"{evidence.observations[0]} recorded, {evidence.observations[1]} live",
            "evidence": evidence.verdict.value,
            "evidence_in_words": evidence.sentence(outcome.unit),
        }
    if outcome.details:
        words["details"] = "; ".join(outcome.details)
    # Six digits: the UI shows every one it is given, and further ones say nothing.
    shown = {name: float(f"{n:.6g}") for name, n in numbers.items() if n is not None and math.isfinite(n)}
    return {**shown, **{name: word for name, word in words.items() if word}}
