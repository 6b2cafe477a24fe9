"""A row of every dataset, made from its declaration, so that a new dataset or column is tested without being asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from cj_pipeline.warehouse.schemas import SCHEMAS, TIMESTAMP

VALUES: dict[pa.DataType, tuple[Any, Any]] = {
    pa.string(): ("Ärlig text, 'quoted'", ""),
    pa.binary(): (b"\x00\xff", b""),
    pa.int32(): (2**31 - 1, -1),
    pa.int64(): (2**63 - 1, 0),
    pa.float64(): (-0.025, 1e300),
    TIMESTAMP: (datetime(2025, 11, 1, 12, 0, 0, 123456, tzinfo=UTC), datetime(1999, 12, 31, tzinfo=UTC)),
}


def row(dataset: str, which: int = 0, **values: Any) -> dict[str, Any]:
    """A full row; `which` chooses between two values per column."""
    return {field.name: VALUES[field.type][which] for field in SCHEMAS[dataset]} | values


def metric(scenario_id: str, value: float = 1.0) -> dict[str, Any]:
    """A row of the smallest dataset."""
    return row("service_metrics", scenario_id=scenario_id, value=value)
