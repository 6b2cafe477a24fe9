"""This module opens the data folder for the steps of a Dagster run, each of which works in the folder of its run."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from dagster import ConfigurableResource, DagsterInstance, DagsterRun, InitResourceContext
from pydantic import Field, PrivateAttr

from cj_pipeline.warehouse.deployment import require_same_deployment
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.store import Warehouse


class WarehouseResource(ConfigurableResource[None]):
    """Parquet datasets below one folder, and the DuckDB catalogue over them."""

    root: str = Field(description="Folder of the datasets; made when something is written.")
    _run_id: str = PrivateAttr(default="")

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Take note of the run whose folder the steps write and read.

        Raises BadInput on a machine that has other code, or another folder, than the one that launched the run.
        """
        if context.run is None or context.instance is None:
            self._run_id = str(uuid4())
        else:
            require_same_deployment(context.run.tags, Path(self.root))
            self._run_id = folder_run_id(context.run, context.instance)

    def open(self) -> Warehouse:
        """Return the warehouse; nothing is held open, so nothing is to be closed."""
        return Warehouse(Path(self.root))

    def run(self, scenario_id: str) -> RunFolder:
        """Return the folder of this run of one scenario."""
        return self.open().run(self._run_id, scenario_id)


def folder_run_id(run: DagsterRun, instance: DagsterInstance) -> str:
    """Return the id of the run in whose folder a run works: its own, or that of the run which it goes on with.

    A re-execution of some steps under the same configuration finds what the others made. One of every step, or under
    another configuration, begins a folder of its own.
    """
    root = None if run.root_run_id is None else instance.get_run_by_id(run.root_run_id)
    while root is not None and run.parent_run_id is not None and _work(run) != _work(root):
        parent = instance.get_run_by_id(run.parent_run_id)
        if parent is None or parent.run_config != run.run_config:
            break
        run = parent
    return run.run_id


def _work(run: DagsterRun) -> tuple[object, ...]:
    """Return what a run was to do, which differs from its root's when only some steps are executed again."""
    return (frozenset(run.step_keys_to_execute or ()), run.asset_selection, run.asset_check_selection)
