"""This module declares the asset that shows how well each side agrees with known grades, and its targets as checks.

The checks only warn: how well a judge agrees with teachers says nothing about whether the mock behaves like it.
"""

from collections.abc import Iterator, Mapping

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    multi_asset,
)

from assets.parity import BOTH_RUNS, picture
from assets.specs import ALIGNMENT, Group, about, asset_spec
from cj_pipeline.eng5.alignment.case import case_of_record, has_order
from cj_pipeline.eng5.alignment.document import Side as ReportSide
from cj_pipeline.eng5.alignment.document import report_of
from cj_pipeline.eng5.alignment.ladder import ladder_png
from cj_pipeline.eng5.alignment.markdown import markdown_of
from cj_pipeline.eng5.alignment.result import AlignmentResult, evaluate
from cj_pipeline.eng5.alignment.stored import store_alignment
from cj_pipeline.eng5.alignment.targets import Target, targets
from cj_pipeline.parity.compare import Verdict
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.tables import load_run
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource

TARGETS = {
    "tau": "Does the order of the anchors agree with their grades (Kendall tau-a, 0.90 or more)?",
    "inversions": "Does at most one anchor of a worse grade beat one of a better grade?",
    "zero_win": "Does every anchor that was compared win at least once?",
    "ab_regression": "Are A and B told apart no worse than in the reference's baseline?",
}


def alignment_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `eng5/alignment` and a check for each target on each side."""
    spec = asset_spec(
        ALIGNMENT,
        "Rank against grade of every graded anchor, on both sides. No rows where no two grades differ.",
        computed_by="agreement",
        reads=BOTH_RUNS,
        group=Group.ENG5,
        partitions=scenarios,
        dataset="alignment",
    )
    checks = [
        AssetCheckSpec(f"{side}_{name}", asset=ALIGNMENT, description=question, partitions_def=scenarios)
        for side in Side
        for name, question in TARGETS.items()
    ]

    @multi_asset(name="eng5_alignment", specs=[spec], check_specs=checks)
    def alignment(
        context: AssetExecutionContext, trace_store: TraceStoreResource, warehouse: WarehouseResource
    ) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
        scenario = trace_store.scenario(context.partition_key)
        run = warehouse.run(context.partition_key)
        found: dict[Side, AlignmentResult | None] = {}
        shown = []
        for side in Side:
            case = case_of_record(scenario, load_run(run, side))
            result = evaluate(case, repeats=0) if has_order(case) else None
            store_alignment(run, side, case, result)
            found[side] = result
            if result is not None:
                shown.append(ReportSide(case, result, side.value))
        rows = sum(len(one.result.anchors) for one in shown)
        metadata: dict[str, MetadataValue] = {"dagster/partition_row_count": MetadataValue.int(rows)}
        if shown:
            metadata["report"] = MetadataValue.md(markdown_of(report_of(shown, full=False)))
            metadata["ladder"] = picture("anchors", ladder_png(shown))
        for one in shown:
            if one.result.tau_a is not None:
                metadata[f"{one.name}_tau_a"] = MetadataValue.float(one.result.tau_a.value)
        yield MaterializeResult(asset_key=ALIGNMENT, metadata=metadata)
        yield from target_results(context.partition_key, found)

    return alignment


def target_results(scenario_id: str, found: Mapping[Side, AlignmentResult | None]) -> Iterator[AssetCheckResult]:
    """Yield one result for each target on each side; where no two grades differ it has not passed, and says so."""
    for side, result in found.items():
        if result is None:
            for name in TARGETS:
                sentence = about(scenario_id, "off: no two grades of this net differ.")
                yield _result(f"{side}_{name}", False, sentence, verdict=Verdict.OFF.value)
            continue
        for target in targets(result):
            yield _result(
                f"{side}_{target.name}",
                target.met,
                about(scenario_id, _sentence(target)),
                verdict=(Verdict.PASS if target.met else Verdict.FAIL).value,
                settled=target.settled,
                **_numbers(target),
            )


def _numbers(target: Target) -> dict[str, float]:
    """Return the numbers of a target, which Dagster plots."""
    numbers = {"value": target.number, "floor": target.floor, "ceiling": target.ceiling}
    return {name: float(number) for name, number in numbers.items() if number is not None}


def _sentence(target: Target) -> str:
    ranges = (f"95 % interval {target.interval}", f"in a repeat {target.repeat}")
    shown = "; ".join(words for words, there in zip(ranges, (target.interval, target.repeat), strict=True) if there)
    return (
        f"{target.measure}: {target.value}{f' ({shown})' if shown else ''}. Target {target.wanted}: {target.verdict}."
    )


def _result(name: str, passed: bool, sentence: str, **metadata: bool | float | str) -> AssetCheckResult:
    return AssetCheckResult(
        asset_key=ALIGNMENT,
        check_name=name,
        passed=passed,
        severity=AssetCheckSeverity.WARN,
        description=sentence,
        metadata=metadata,
    )
