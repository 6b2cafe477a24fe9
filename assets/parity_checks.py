"""This module makes the parity checks Dagster's: one asset check on `parity/report` for each, and one for the verdict.

The checks come from the report that the run's comparison stored, so report, rows and gates are of one comparison.

A failed gate is an ERROR and turns the run red, unless NO PARITY is what the scenario expects. A gate that passed
although the evidence proves a difference is a WARN, and so is CANNOT TELL. A verdict that is not the expected one is an
ERROR, also when it is better.
"""

import math
from collections.abc import Iterator

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    PartitionsDefinition,
    multi_asset_check,
)

from assets.parity import BOTH_RUNS, verdict_metadata
from assets.specs import REPORT
from cj_pipeline.parity.compare import ALL_CHECKS, CheckResult, ParityReport, Verdict
from cj_pipeline.parity.tables import load_report
from cj_pipeline.parity.verdict import Parity
from cj_pipeline.reports.headline import headline
from cj_pipeline.reports.parity_report import VERDICT, expected_failure
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

    @multi_asset_check(name="parity_gates", specs=specs)
    def gates(
        context: AssetCheckExecutionContext,
        trace_store: TraceStoreResource,
        engine: CjEngineResource,
        warehouse: WarehouseResource,
    ) -> Iterator[AssetCheckResult]:
        scenario = engine.configured(trace_store.scenario(context.partition_key))
        report = load_report(warehouse.run(context.partition_key), scenario)
        for result in report.results:
            yield outcome_of(result, may_fail=expected_failure(report))
        yield verdict_of(report)

    return gates


def outcome_of(result: CheckResult, *, may_fail: bool = False) -> AssetCheckResult:
    """Return a check's result as Dagster's; off is passed, and says why it is off. may_fail: failing is expected."""
    failed = result.verdict is Verdict.FAIL
    return AssetCheckResult(
        asset_key=REPORT,
        check_name=result.check.name,
        passed=result.verdict in (Verdict.PASS, Verdict.OFF) and not result.proven_different,
        severity=AssetCheckSeverity.ERROR if failed and not may_fail else AssetCheckSeverity.WARN,
        description=result.sentence,
        metadata={"verdict": result.verdict.value, "sentence": result.sentence, **_measured(result)},
    )


def verdict_of(report: ParityReport) -> AssetCheckResult:
    """Return the verdict as a check: passed when it is the expected one; CANNOT TELL is a WARN where PARITY was."""
    doubtful = report.verdict is Parity.CANNOT_TELL and report.expected is Parity.PARITY
    return AssetCheckResult(
        asset_key=REPORT,
        check_name=VERDICT,
        passed=report.as_expected,
        severity=AssetCheckSeverity.WARN if doubtful or report.as_expected else AssetCheckSeverity.ERROR,
        description=headline(report),
        metadata=verdict_metadata(report),
    )


def _measured(result: CheckResult) -> dict[str, str | float]:
    """Return what was measured, as numbers where there are some: Dagster plots those over time."""
    if (outcome := result.outcome) is None:
        return {"reason": result.reason}
    numbers = {"value": outcome.value, "recorded": outcome.recorded, "live": outcome.live}
    words = {"tolerance": outcome.tolerance, "unit": outcome.unit}
    if (evidence := outcome.evidence) is not None:
        numbers |= {
            "difference": evidence.difference,
            "low": evidence.low,
            "high": evidence.high,
            "margin_low": evidence.margin.low,
            "margin_high": evidence.margin.high,
            "noise_low": evidence.noise.low,
            "noise_high": evidence.noise.high,
            "p": evidence.p,
            "detectable": evidence.detectable,
            "n_recorded": evidence.observations[0],
            "n_live": evidence.observations[1],
        }
        words |= {"evidence": evidence.verdict.value, "evidence_in_words": evidence.sentence(outcome.unit)}
    if outcome.details:
        words["details"] = "; ".join(outcome.details)
    # Six digits: the UI shows every one it is given, and further ones say nothing.
    shown = {name: float(f"{n:.6g}") for name, n in numbers.items() if n is not None and math.isfinite(n)}
    return {**shown, **{name: word for name, word in words.items() if word}}
