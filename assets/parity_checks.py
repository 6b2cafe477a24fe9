"""This module declares one asset check on `parity/report` for each parity check.

A check compares the stored runs again instead of reading the rows of `parity/checks`, because a row lacks the interval
and the smallest detectable difference. Comparing is pure, so both agree.

A failed gate is an ERROR and fails the run. A gate that passed although the evidence proves a difference is a WARN,
which stops nothing.
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

from assets.parity import BOTH_RUNS
from assets.specs import REPORT
from cj_pipeline.parity.compare import ALL_CHECKS, CheckResult, Verdict
from cj_pipeline.parity.tables import compare_stored
from resources.cj_engine import CjEngineResource
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource


def parity_checks(scenarios: PartitionsDefinition[str]) -> AssetChecksDefinition:
    """Declare one blocking check on `parity/report` per parity check, all in one step."""
    specs = [
        AssetCheckSpec(
            check.name,
            asset=REPORT,
            description=check.question,
            additional_deps=BOTH_RUNS,
            blocking=True,
            partitions_def=scenarios,
            metadata={"group": check.group},
        )
        for check in ALL_CHECKS
    ]

    @multi_asset_check(name="parity_gates", specs=specs)
    def gates(
        context: AssetCheckExecutionContext,
        trace_store: TraceStoreResource,
        engine: CjEngineResource,
        warehouse: WarehouseResource,
    ) -> Iterator[AssetCheckResult]:
        scenario = engine.configured(trace_store.scenario(context.partition_key))
        file = trace_store.scenario_file(context.partition_key)
        for result in compare_stored(warehouse.open(), scenario, scenario_file=file).results:
            yield outcome_of(result)

    return gates


def outcome_of(result: CheckResult) -> AssetCheckResult:
    """Return a check's result as Dagster's. A check that is off passes, and says why it is off."""
    failed = result.verdict is Verdict.FAIL
    return AssetCheckResult(
        asset_key=REPORT,
        check_name=result.check.name,
        passed=not failed and not result.proven_different,
        severity=AssetCheckSeverity.ERROR if failed else AssetCheckSeverity.WARN,
        description=result.sentence,
        metadata={"verdict": result.verdict.value, "sentence": result.sentence, **_measured(result)},
    )


def _measured(result: CheckResult) -> dict[str, str | float]:
    """Return what was measured, as numbers where there are some: Dagster plots those over time."""
    if (outcome := result.outcome) is None:
        return {"reason": result.reason}
    numbers = {"value": outcome.value, "recorded": outcome.recorded, "live": outcome.live}
    words = {"tolerance": outcome.tolerance, "unit": outcome.unit}
    if (evidence := outcome.evidence) is not None:
        numbers["minimum_detectable"] = evidence.detectable
        words |= {"evidence": evidence.verdict.value, "evidence_in_words": evidence.sentence(outcome.unit)}
    if outcome.details:
        words["details"] = "; ".join(outcome.details)
    # Six digits: the UI shows every one it is given, and further ones say nothing.
    shown = {name: float(f"{n:.6g}") for name, n in numbers.items() if n is not None and math.isfinite(n)}
    return {**shown, **{name: word for name, word in words.items() if word}}
