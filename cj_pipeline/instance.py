"""This module holds what `dagster.yaml` names of ours, the storage and the queue of runs, and opens the instance.

The storage is PostgreSQL when its URL is set, else SQLite, so that one file serves a laptop and a deployment.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import DagsterInstance, DagsterRun
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClass
from sqlalchemy.exc import DBAPIError

from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.local.folder_lock import folder_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagster._config.config_schema import UserConfigSchema
    from dagster._serdes import ConfigurableClassData

URL_VARIABLE = "CJ_PIPELINE_POSTGRES_URL"

# Where `make ui` has its DAGSTER_HOME. The CLI without one writes there too, so the UI shows what the CLI ran.
# Dagster's own choice is a temporary folder, whose path a custom storage does not get.
HOME = ".dagster"

CONFIGURATION = "dagster.yaml"


class EnvironmentStorage(DagsterStorage, ConfigurableClass):
    """Chooses when an instance is loaded; `from_config_value` returns one of Dagster's own storages, never this."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Return an empty schema: the environment configures everything."""
        return {}

    @classmethod
    def from_config_value(  # type: ignore[override]  # Dagster's signature says Self; what it needs is any storage
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterStorage[DagsterInstance]:
        """Return PostgreSQL at CJ_PIPELINE_POSTGRES_URL, or SQLite under DAGSTER_HOME."""
        if url := os.environ.get(URL_VARIABLE):
            from dagster_postgres import DagsterPostgresStorage

            return DagsterPostgresStorage(postgres_url=with_driver(url), inst_data=inst_data)
        home = Path(os.environ.get("DAGSTER_HOME") or HOME).absolute()
        # Dagster makes its tables without one: of six processes on a new folder, five fail ("table already exists").
        with folder_lock(home / ".storage.lock"):
            return DagsterSqliteStorage(base_dir=str(home), inst_data=inst_data)


def with_driver(url: str) -> str:
    """Return the URL with its driver: else SQLAlchemy 2.1 takes psycopg 3, and dagster-postgres brings 2."""
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", url)


def instance_at_home() -> DagsterInstance:
    """Open the instance in DAGSTER_HOME, or in `.dagster` of this folder, where `make ui` has its own.

    A home without a dagster.yaml gets that of this folder, or of the checkout.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or HOME).absolute()
    home.mkdir(parents=True, exist_ok=True)
    if not (home / CONFIGURATION).exists():
        places = (Path(CONFIGURATION), Path(__file__).parents[1] / CONFIGURATION)
        if given := next((path for path in places if path.is_file()), None):
            shutil.copy(given, home)
    os.environ["DAGSTER_HOME"] = str(home)
    return DagsterInstance.from_config(str(home))


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what Dagster's storage says of a full disk, a missing right or a lost server into a sentence."""
    try:
        yield
    except DBAPIError as error:
        url = bool(os.environ.get(URL_VARIABLE))
        place = URL_VARIABLE if url else Path(os.environ.get("DAGSTER_HOME") or HOME).absolute()
        problem = " ".join(str(error.orig).split())
        remedy = "Is the server there?" if url else "Make room there, or let this user write there."
        raise CjPipelineError(f"{place}: Dagster's storage cannot be used: {problem}. {remedy}") from None


LPS_TAG = "cj_pipeline/lps"
"""Run tag: base URL of the deployed LPS that the live side asks; `dagster.yaml` limits the runs in front of each."""


class ScenarioQueue(QueuedRunCoordinator[DagsterInstance]):
    """Dagster's queue of runs, which tags a run with the deployed LPS that its configuration names."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Put a run into the queue, tagged."""
        run = context.dagster_run
        if url := lps_url(run.run_config):
            self._instance.add_run_tags(run.run_id, {LPS_TAG: url})
        return super().submit_run(context)


def lps_url(run_config: Mapping[str, Any]) -> str:
    """Return the URL of the deployed LPS in a run's configuration; empty for the embedded one."""
    found: Any = run_config
    for key in ("resources", "lps", "config", "url"):
        found = found.get(key) if isinstance(found, dict) else None
    return found.rstrip("/") if isinstance(found, str) else ""
