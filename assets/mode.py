"""This module declares the asset `mode`: which mode the mock answers under, and its content."""

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    multi_asset,
)

from assets.specs import MODE, Group, asset_spec
from resources.lps import LpsResource
from resources.trace_store import TraceStoreResource


def mode_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `mode`."""
    spec = asset_spec(
        MODE,
        "The mode under which the mock answers: the scenario's own, or what the resource `lps` is configured to. "
        "Nothing is written: the mode is observed, and the SHA-256 of its content is the data version.",
        computed_by="modes",
        reads=[],
        group=Group.LIVE,
        kinds=["file"],
        partitions=scenarios,
    )

    @multi_asset(name="mode", specs=[spec])
    def mode(
        context: AssetExecutionContext, trace_store: TraceStoreResource, lps: LpsResource
    ) -> MaterializeResult[None]:
        scenario = trace_store.scenario(context.partition_key)
        answering = lps.mode_of(scenario, trace_store.scenario_file(context.partition_key))
        sections = answering.model_dump(mode="json", exclude={"schema_version", "name", "description", "overlays"})
        return MaterializeResult(
            data_version=DataVersion(answering.sha256()),
            metadata={
                "expression": answering.expression,
                "description": MetadataValue.md(answering.description),
                **{name: section for name, section in sections.items() if section is not None},
            },
        )

    return mode
