"""This module holds what `dagster.yaml` names of ours, the storage and the queue of runs, opens the instance, and says
whether its daemon lives.

The storage is PostgreSQL when its URL is set, else SQLite, so that one file serves a laptop and a deployment.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import DagsterInstance, DagsterRun
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClass
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import CjPipelineError, shortened
from cj_pipeline.foundation.secret_files import read_secret_files
from cj_pipeline.local.folder_lock import folder_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagster._config.config_schema import UserConfigSchema
    from dagster._serdes import ConfigurableClassData
    from dagster_postgres import DagsterPostgresStorage
    from sqlalchemy.engine import Dialect

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
        """Return PostgreSQL at CJ_PIPELINE_POSTGRES_URL, or SQLite under DAGSTER_HOME.

        Webserver, daemon, code server and runs all come by here, and by nothing else of ours before it.
        """
        read_secret_files(os.environ)
        if url := os.environ.get(URL_VARIABLE):
            from dagster_postgres import DagsterPostgresStorage

            return _with_pool(DagsterPostgresStorage(postgres_url=with_driver(url), inst_data=inst_data))
        home = Path(os.environ.get("DAGSTER_HOME") or HOME).absolute()
        # Dagster makes its tables without one: of six processes on a new folder, five fail ("table already exists").
        with folder_lock(home / ".storage.lock"):
            return DagsterSqliteStorage(base_dir=str(home), inst_data=inst_data)


def _with_pool(storage: DagsterPostgresStorage) -> DagsterPostgresStorage:
    """Let the three storages share connections that stay open; return the same storage.

    Dagster opens a connection for each statement: the 330 events of a parity run cost the server seven seconds of a
    processor, and one second with a pool.
    """
    parts: tuple[Any, ...] = (storage.run_storage, storage.event_log_storage, storage.schedule_storage)
    for part in parts:
        part._engine = _engine(storage.postgres_url, os.getpid())
    return storage


@cache
def _engine(url: str, _process_id: int) -> Engine:
    """Return the connections of this process to a database: two that stay open, and more while they are needed.

    Each is tried before it is used, so a restart of the server costs a new connection and no event. A forked process
    has connections of its own.
    """
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=2,
        max_overflow=-1,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 10},
    )
    event.listen(engine, "do_connect", _connect_patiently)
    return engine


DATABASE_AWAY_S = 20.0
"""How long one attempt to connect waits for a database that is being started again. Dagster makes six attempts."""


_NOT_AWAY = ("authentication failed", "does not exist")


def _connect_patiently(dialect: Dialect, record: object, arguments: list[Any], named: dict[str, Any]) -> Any:
    """Connect, as SQLAlchemy would, and wait where nobody answers."""
    refused: type[Exception] = dialect.loaded_dbapi.OperationalError
    deadline = time.monotonic() + DATABASE_AWAY_S
    while True:
        try:
            return dialect.connect(*arguments, **named)
        except refused as problem:
            if time.monotonic() > deadline or any(words in str(problem) for words in _NOT_AWAY):
                raise
            time.sleep(0.5)


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


def daemon_problem(within_s: float, *, errors_too: bool) -> str:
    """Return what is wrong with the daemon of the instance in DAGSTER_HOME, in a sentence; empty when nothing is.

    within_s: how old its latest sign of life may be; Dagster's own liveness check is content with half an hour.
    errors_too: whether a loop that lives and fails counts.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or HOME).absolute()
    if not (home / CONFIGURATION).is_file():
        return f"There is no {CONFIGURATION} in '{home}'; set DAGSTER_HOME to the daemon's."
    os.environ["DAGSTER_HOME"] = str(home)
    try:
        with DagsterInstance.from_config(str(home)) as instance:
            required, signs = instance.get_required_daemon_types(), instance.get_daemon_heartbeats()
    except Exception as error:  # of SQLAlchemy, of Dagster, of its retries: whichever, nobody can read it
        return f"The storage cannot be read: {_first_line(error.__cause__ or error)}"
    now = utc_now().timestamp()
    for kind in sorted(required):
        if (sign := signs.get(kind)) is None:
            return f"Its loop {kind} has never given a sign of life."
        if (age := now - sign.timestamp) > within_s:
            return f"Its loop {kind} gave its latest sign of life {age:.0f} s ago."
        if errors_too and sign.errors:
            return f"Its loop {kind} fails: {_first_line(sign.errors[0].message)}"
    return ""


def _first_line(message: object) -> str:
    return shortened(next(iter(str(message).strip().splitlines()), ""), 200)
