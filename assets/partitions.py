"""This module defines the partitions that the assets of every scenario share.

Two kinds of process ask for the keys. A process that has the code (a shell, a run, the code server) reads the folders
at that moment: a shell without an instance can name them, and a scenario that was captured a second ago can run.
Webserver and daemon have no code; they see dynamic keys, which the sensor `new_traces` keeps in the instance. Static
keys would be fixed when these two load, and a new folder would stay out of the UI until the code location is reloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import DynamicPartitionsDefinition, StaticPartitionsDefinition

from cj_pipeline.traces.store import TraceStore

if TYPE_CHECKING:
    from dagster._core.definitions.partitions.context import PartitionLoadingContext
    from dagster._core.instance import DynamicPartitionsStore
    from dagster._core.types.pagination import PaginatedResults

SCENARIOS = "scenarios"
"""What an instance calls the set of keys."""


class ScenarioPartitions(DynamicPartitionsDefinition):
    """A partition for each folder that holds a scenario.yaml, by its name; each call reads the folder."""

    traces_dir: Path

    def __new__(cls, traces_dir: Path) -> ScenarioPartitions:  # noqa: D102  # what the class says
        made: ScenarioPartitions = super().__new__(cls, name=SCENARIOS)
        made.traces_dir = traces_dir
        return made

    def get_partition_keys(
        self, current_time: datetime | None = None, dynamic_partitions_store: DynamicPartitionsStore | None = None
    ) -> Sequence[str]:
        """Return the scenario ids, sorted; what an instance knows does not matter."""
        return TraceStore(self.traces_dir).scenario_ids()

    def has_partition_key(
        self,
        partition_key: str,
        current_time: datetime | None = None,
        dynamic_partitions_store: DynamicPartitionsStore | None = None,
    ) -> bool:
        """Return whether there is such a scenario now."""
        return partition_key in self.get_partition_keys()

    def filter_valid_partition_keys(self, partition_keys: set[str]) -> AbstractSet[str]:
        """Return those keys that are scenarios now."""
        return partition_keys & set(self.get_partition_keys())

    def get_paginated_partition_keys(
        self, context: PartitionLoadingContext, limit: int, ascending: bool, cursor: str | None = None
    ) -> PaginatedResults[str]:
        """Return a page of the scenario ids."""
        return self._as_static().get_paginated_partition_keys(context, limit, ascending, cursor)

    def get_serializable_unique_identifier(self, dynamic_partitions_store: DynamicPartitionsStore | None = None) -> str:
        """Return a digest of the scenario ids, made as Dagster makes it of keys in an instance."""
        return self._as_static().get_serializable_unique_identifier()

    def _as_static(self) -> StaticPartitionsDefinition:
        return StaticPartitionsDefinition(list(self.get_partition_keys()))
