"""This module declares the asset `warehouse`: the step that publishes a run and rebuilds the catalogue."""

from collections.abc import Sequence

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    multi_asset,
)

from assets.specs import CATALOGUE, Group, asset_spec
from cj_pipeline.warehouse.publishing import NotPublished, publish
from cj_pipeline.warehouse.schemas import SCHEMAS
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource


def catalogue_asset(specs: Sequence[AssetSpec], scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `warehouse`, over the datasets among these specs.

    Unpartitioned: a view spans all scenarios. Dagster takes it into a partition's run all the same.
    """
    datasets = [spec for spec in specs if "dagster/table_name" in spec.metadata]
    # The last of each branch: the others lie behind them, and twelve edges would hide the graph.
    read_on = {dependency.asset_key for spec in datasets for dependency in spec.deps}
    last = [spec.key for spec in datasets if spec.key not in read_on]
    spec = asset_spec(
        CATALOGUE,
        "`warehouse.duckdb`: a view per dataset over the Parquet files of every published run, swapped in whole. "
        "This step also publishes the run that it is part of, if that is whole and no trial.",
        computed_by="catalogue",
        reads=last,
        group=Group.PARITY,
        kinds=["duckdb"],
    )

    @multi_asset(name="warehouse_catalogue", specs=[spec])
    def catalogue(
        context: AssetExecutionContext, trace_store: TraceStoreResource, warehouse: WarehouseResource
    ) -> MaterializeResult[None]:
        opened = warehouse.open()
        published = "nothing: this run is about no scenario"
        if context.has_partition_key:
            try:
                pointer = publish(warehouse.run(context.partition_key), trace_store.folder(context.partition_key))
                published = f"run {pointer.run_id}: {pointer.verdict}"
            except NotPublished as reason:
                published = str(reason)
                context.log.info(published)
        if ignored := opened.first_edition():
            context.log.warning(ignored)
        path = opened.rebuild_catalogue(scenarios.get_partition_keys())
        for row in opened.query("from catalogue.left_out").to_pylist():
            context.log.warning(f"left out: {row['problem']}")
        return MaterializeResult(
            metadata={"path": MetadataValue.path(str(path)), "views": len(SCHEMAS), "published": published}
        )

    return catalogue
