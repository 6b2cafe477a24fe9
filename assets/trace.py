"""The recorded judge: a trace on disk.

Here: observing the file, and checking that nobody edited it. Not here: its callbacks (sides.py).

The asset only looks; its check judges, and blocks everything that would read an edited trace.
"""

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    asset_check,
    multi_asset,
)

from assets.specs import TRACE, asset_spec, table
from cj_pipeline.errors import BadInput
from cj_pipeline.traces.provenance import file_sha256, read_provenance, verify_checksums
from cj_pipeline.traces.store import CALLBACKS_FILE
from resources.trace_store import TraceStoreResource


def trace_spec(scenarios: PartitionsDefinition[str]) -> AssetSpec:
    """The spec of `trace`."""
    return asset_spec(
        TRACE,
        "The recorded callbacks of one scenario, as they stand in its folder. Nothing is written: the file is "
        "observed, and its SHA-256 is the data version.",
        reads=[],
        group="judges",
        kinds=["file"],
        partitions=scenarios,
    )


def trace_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """`trace`."""

    @multi_asset(name="trace", specs=[trace_spec(scenarios)])
    def trace(context: AssetExecutionContext, trace_store: TraceStoreResource) -> MaterializeResult[None]:
        scenario = trace_store.scenario(context.partition_key)
        folder = trace_store.folder(context.partition_key)
        provenance = read_provenance(folder)
        origins = ({"field": name, **field.model_dump(mode="json")} for name, field in provenance.fields.items())
        return MaterializeResult(
            data_version=DataVersion(file_sha256(folder / CALLBACKS_FILE)),
            metadata={
                "scenario": scenario.title,
                "profile": scenario.profile.value,
                "origin": provenance.origin.value,
                "statement": MetadataValue.md(provenance.statement),
                "fields": table(origins),
                "path": MetadataValue.path(folder / CALLBACKS_FILE),
            },
        )

    return trace


def checksums_check(scenarios: PartitionsDefinition[str]) -> AssetChecksDefinition:
    """`trace: checksums`."""

    @asset_check(asset=TRACE, partitions_def=scenarios, blocking=True)
    def checksums(context: AssetCheckExecutionContext, trace_store: TraceStoreResource) -> AssetCheckResult:
        """Are the recorded files, byte for byte, those that SHA256SUMS names?"""
        try:
            verified = verify_checksums(trace_store.folder(context.partition_key))
        except BadInput as problem:
            return AssetCheckResult(passed=False, severity=AssetCheckSeverity.ERROR, description=str(problem))
        return AssetCheckResult(passed=True, metadata={"files": len(verified)})

    return checksums
