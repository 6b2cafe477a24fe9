"""This module declares the asset that reads the history of a scenario, once its run is published."""

from collections.abc import Iterator

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

from assets.specs import CATALOGUE, HISTORY, Group, about, asset_spec, table
from cj_pipeline.foundation.text import markdown_text
from cj_pipeline.parity.history.history import load_history
from cj_pipeline.parity.history.tables import CHECK_COLUMNS, check_rows, sentences
from resources.warehouse import WarehouseResource

NO_CHANGE = "no_unnamed_change"


def history_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `parity/history`, with a check that warns when this run shows a change that nothing named explains."""
    spec = asset_spec(
        HISTORY,
        "How the checks of a scenario went over its published runs: trend, red since when, and changes against their "
        "own past, which begins afresh wherever mode, recording, code or scenario file change.",
        computed_by="parity",
        reads=[CATALOGUE],  # its step publishes the run, which adds it to the history
        group=Group.PARITY,
        partitions=scenarios,
    )
    question = "Does this run go on as the ones before it, or did something change that has no name?"
    check = AssetCheckSpec(NO_CHANGE, asset=HISTORY, description=question, partitions_def=scenarios)

    @multi_asset(name="parity_history", specs=[spec], check_specs=[check])
    def history(
        context: AssetExecutionContext, warehouse: WarehouseResource
    ) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
        found = load_history(warehouse.open().root, context.partition_key)
        told = [] if found is None else sentences(found)
        new = () if found is None else found.new_shifts
        rows = [] if found is None else check_rows(found)
        yield MaterializeResult(
            asset_key=HISTORY,
            metadata={
                "runs": 0 if found is None else len(found.nights),
                "red_since": "" if found is None or found.red_since is None else f"{found.red_since:%Y-%m-%d %H:%M}",
                "started_afresh": 0 if found is None else len(found.named),
                "changes": 0 if found is None else len(found.shifts),
                "what_happened": MetadataValue.md("\n".join(f"- {markdown_text(line)}" for line in told) or "nothing"),
                "checks": table(
                    {
                        name: str(cell) if name == "red_since" and cell else cell
                        for name, cell in zip(CHECK_COLUMNS, row, strict=True)
                    }
                    for row in rows
                ),
            },
        )
        yield AssetCheckResult(
            asset_key=HISTORY,
            check_name=NO_CHANGE,
            passed=not new,
            severity=AssetCheckSeverity.WARN,
            description=about(
                context.partition_key,
                " ".join(shift.sentence for shift in new) or "nothing changed without a name.",
            ),
        )

    return history
