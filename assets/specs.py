"""This module holds what every asset says about itself: owner, group, kinds, tags, columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from dagster import (
    AssetKey,
    AssetSpec,
    FreshnessPolicy,
    MetadataValue,
    PartitionsDefinition,
    TableColumn,
    TableColumnConstraints,
    TableMetadataValue,
    TableRecord,
    TableSchema,
)

from assets.code_versions import code_version
from cj_pipeline.warehouse.schemas import describe

OWNER = "team:assessment-platform"

SCOPE_TAG = "scope"
"""Asset tag: whether a materialisation is about one scenario, or about whatever there is."""


class Group(StrEnum):
    """The boxes of the lineage page: the two sides, what compares them, and the runner's own."""

    RECORDED = "recorded"
    LIVE = "live"
    PARITY = "parity"
    ENG5 = "eng5"


TRACE = AssetKey("trace")
MODE = AssetKey("mode")
CALIBRATION = AssetKey("calibration")
CHECKS = AssetKey(["parity", "checks"])
REPORT = AssetKey(["parity", "report"])
GAUNTLET = AssetKey(["parity", "gauntlet"])
SUITE = AssetKey(["parity", "suite"])
HISTORY = AssetKey(["parity", "history"])
ALIGNMENT = AssetKey(["eng5", "alignment"])
EXPERIMENT = AssetKey(["eng5", "experiment"])
CATALOGUE = AssetKey("warehouse")


def asset_spec(
    key: AssetKey,
    description: str,
    *,
    computed_by: str,
    reads: Sequence[AssetKey],
    group: Group,
    kinds: Sequence[str] = ("python",),
    partitions: PartitionsDefinition[str] | None = None,
    dataset: str | None = None,
    freshness: FreshnessPolicy | None = None,
) -> AssetSpec:
    """Return the spec of an asset, with owner, kinds and columns.

    computed_by: whose code it is, for its code version (assets/code_versions.py); reads: exactly what the computation
    reads; dataset: the warehouse's, of which the asset is one part a scenario; freshness: when it must be new again.
    """
    return AssetSpec(
        key=key,
        description=description,
        deps=reads,
        group_name=group.value,
        kinds={*kinds, *(("parquet",) if dataset else ())},
        owners=[OWNER],
        tags={SCOPE_TAG: "all" if partitions is None else "scenario"},
        partitions_def=partitions,
        metadata={} if dataset is None else {"dagster/table_name": dataset, "dagster/column_schema": columns(dataset)},
        code_version=code_version(computed_by),
        freshness_policy=freshness,
    )


def about(scenario_id: str, sentence: str) -> str:
    """Return a sentence with its scenario first: lists of checks and runs mix those of all scenarios."""
    return f"{scenario_id}: {sentence}"


def columns(dataset: str) -> TableSchema:
    """Return the declared columns of a dataset, as Dagster shows them."""
    return TableSchema(
        [
            TableColumn(name, kind, description, TableColumnConstraints(nullable=nullable))
            for name, kind, nullable, description in describe(dataset)
        ]
    )


def stored(path: Path, rows: int) -> Mapping[str, Any]:
    """Return the metadata of a dataset's part that was just written."""
    return {"path": MetadataValue.path(path), "dagster/partition_row_count": rows}


def table(rows: Iterable[Mapping[str, Any]]) -> TableMetadataValue:
    """Return rows as a table in the UI. Dagster takes the columns from the first row, and fails without one."""
    records = [TableRecord(row) for row in rows]
    return MetadataValue.table(records) if records else MetadataValue.table([], schema=TableSchema([]))
