"""This module declares the asset that shows how well each side agrees with known grades."""

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    multi_asset,
)

from assets.parity import BOTH_RUNS
from assets.specs import ALIGNMENT, asset_spec
from cj_pipeline.eng5.alignment_report import alignment_markdown, scenario_alignment, store_alignment
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.tables import load_run
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource


def alignment_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `eng5/alignment`."""
    spec = asset_spec(
        ALIGNMENT,
        "Rank against grade of every graded anchor, on both sides. No rows where no two grades differ.",
        reads=BOTH_RUNS,
        group="eng5",
        partitions=scenarios,
        dataset="alignment",
    )

    @multi_asset(name="eng5_alignment", specs=[spec])
    def alignment(
        context: AssetExecutionContext, trace_store: TraceStoreResource, warehouse: WarehouseResource
    ) -> MaterializeResult[None]:
        scenario = trace_store.scenario(context.partition_key)
        run = warehouse.run(context.partition_key)
        labels = {item.id: item.label for item in scenario.net.items}
        shown: dict[str, MetadataValue] = {}
        rows = 0
        for side in Side:
            aligned = scenario_alignment(scenario, load_run(run, side))
            store_alignment(run, scenario, side, aligned)
            if aligned is not None:
                rows += len(aligned.anchors)
                shown[side.value] = MetadataValue.md(alignment_markdown(f"{side} side", aligned, labels))
                shown[f"{side}_tau_a"] = MetadataValue.float(aligned.tau_a)
        return MaterializeResult(metadata={"dagster/partition_row_count": rows, **shown})

    return alignment
