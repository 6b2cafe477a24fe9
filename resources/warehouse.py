"""This module configures the folder of the datasets."""

from __future__ import annotations

from pathlib import Path

from dagster import ConfigurableResource
from pydantic import Field

from cj_pipeline.warehouse.store import Warehouse


class WarehouseResource(ConfigurableResource[None]):
    """Parquet datasets below one folder, and the DuckDB catalogue over them."""

    root: str = Field(description="Folder of the datasets; made when something is written.")

    def open(self) -> Warehouse:
        """Return the warehouse, which holds nothing open and needs no closing."""
        return Warehouse(Path(self.root))
