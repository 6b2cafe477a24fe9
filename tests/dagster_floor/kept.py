"""This module keeps runs of the code location that several tests look at: each is made once in a session."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, ExecuteInProcessResult

from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.store import Warehouse
from tests.dagster_floor.floor import execute, run_of


@dataclass(frozen=True)
class Kept:
    """One run of one scenario in a data folder of its own, which is read and not changed."""

    scenario_id: str
    data: Path
    result: ExecuteInProcessResult
    tags: dict[str, str]

    @cached_property
    def folder(self) -> RunFolder:
        """The folder of what the run made."""
        return run_of(self.result, self.data, self.scenario_id)

    def copied(self, to: Path) -> Path:
        """A copy of the data folder that a test may change, with a catalogue of its own."""
        shutil.copytree(self.data, to)
        Warehouse(to).rebuild_catalogue()
        return to


class Runs:
    """Runs by scenario, job and run configuration. make_folder: an empty folder at each call."""

    def __init__(self, make_folder: Callable[[], Path]) -> None:
        self._make_folder = make_folder
        self._made: dict[str, Kept] = {}

    def __call__(self, scenario_id: str, job: str = "parity_all", **resources: dict[str, Any]) -> Kept:
        key = json.dumps([scenario_id, job, resources], sort_keys=True)
        if key not in self._made:
            self._made[key] = self._make(scenario_id, job, resources)
        return self._made[key]

    def _make(self, scenario_id: str, job: str, resources: dict[str, dict[str, Any]]) -> Kept:
        data = self._make_folder()
        with DagsterInstance.ephemeral() as instance:
            result = execute(scenario_id, data, job=job, instance=instance, **resources)
            run = instance.get_run_by_id(result.run_id)
        assert run is not None
        return Kept(scenario_id, data, result, dict(run.tags))
