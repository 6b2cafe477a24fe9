"""This module declares the asset that sends every wrong mock through a scenario's comparison.

It takes ten seconds or more where the cache does not know the comparison, so the nightly job goes without it.
"""

from functools import partial

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    multi_asset,
)

from assets.parity import WHAT_IS_COMPARED
from assets.specs import GAUNTLET, Group, about, asset_spec, stored, table
from cj_pipeline.parity.gauntlet.gauntlet import run_gauntlet
from cj_pipeline.parity.gauntlet.tables import store_gauntlet
from cj_pipeline.parity.tables import stored_case
from cj_pipeline.reports.gauntlet_report import COLUMNS, as_markdown, headline, rows_of
from cj_pipeline.reports.more import command_for_more
from cj_pipeline.warehouse.content_cache import cache_in
from resources.cj_engine import CjEngineResource
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource


def gauntlet_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `parity/gauntlet`."""
    spec = asset_spec(
        GAUNTLET,
        "Every wrong mock against the comparison of a scenario: how often it is found, by which check, which would get "
        "past, and which recording would close that blind spot.",
        computed_by="parity",
        reads=WHAT_IS_COMPARED,
        group=Group.PARITY,
        partitions=scenarios,
        dataset="gauntlet",
    )

    @multi_asset(name="gauntlet", specs=[spec])
    def gauntlet(
        context: AssetExecutionContext,
        trace_store: TraceStoreResource,
        engine: CjEngineResource,
        warehouse: WarehouseResource,
    ) -> MaterializeResult[None]:
        scenario = engine.configured(trace_store.scenario(context.partition_key))
        run = warehouse.run(context.partition_key)
        result = run_gauntlet(
            stored_case(run, scenario),
            scenario_file=trace_store.scenario_file(context.partition_key),
            cached=cache_in(run.root),
        )
        path = store_gauntlet(run, result)
        add = partial(command_for_more, scenario, context.partition_key)
        return MaterializeResult(
            metadata={
                **stored(path, len(result.tried)),
                "headline": about(context.partition_key, headline(result)),
                "report": MetadataValue.md(as_markdown(result, add)),
                "wrong_mocks": table(dict(zip(COLUMNS, row, strict=True)) for row in rows_of(result)),
                "wrong_mocks_looked_for": len(result.looked_for),
                "blind_spots": len(result.blind_spots),
                "essential_missed": len(result.missed),
                **{f"limit_{limit.kind.replace(' ', '_')}": limit.sentence for limit in result.limits},
            }
        )

    return gauntlet
