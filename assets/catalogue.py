"""This module declares the DuckDB catalogue over all stored datasets; it is built after everything else."""

from __future__ import annotations

from collections.abc import Sequence

from dagster import AssetsDefinition, AssetSpec, MaterializeResult, MetadataValue, multi_asset

from assets.specs import CATALOGUE, asset_spec
from cj_pipeline.warehouse.schemas import SCHEMAS
from resources.warehouse import WarehouseResource


def catalogue_asset(specs: Sequence[AssetSpec]) -> AssetsDefinition:
    """Declare `warehouse`, over the datasets among these specs.

    Unpartitioned: a view spans all scenarios. Dagster takes it into a partition's run all the same.
    """
    datasets = [spec for spec in specs if "dagster/table_name" in spec.metadata]
    # The last of each branch: the others lie behind them, and twelve edges would hide the graph.
    read_on = {dependency.asset_key for spec in datasets for dependency in spec.deps}
    last = [spec.key for spec in datasets if spec.key not in read_on]
    spec = asset_spec(
        CATALOGUE,
        "`warehouse.duckdb`: a view per dataset over the Parquet files of all scenarios, swapped in whole.",
        reads=last,
        group="warehouse",
        kinds=["duckdb"],
    )

    @multi_asset(name="warehouse_catalogue", specs=[spec])
    def catalogue(warehouse: WarehouseResource) -> MaterializeResult[None]:
        path = warehouse.open().rebuild_catalogue()
        return MaterializeResult(metadata={"path": MetadataValue.path(path), "views": len(SCHEMAS)})

    return catalogue
