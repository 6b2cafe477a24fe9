"""This module connects to the database: one engine, transactions, and the schema.

Every transaction takes what it needs for writing at once: SQLite's write lock by BEGIN IMMEDIATE, PostgreSQL's row
locks by SELECT ... FOR UPDATE, which SQLAlchemy leaves out for SQLite. So two replicas never decide on the same state.

The schema is made by `create_schema` where there is none. Its version stands in a row. An older one is brought up to
date at the start (migrations.py); a process refuses to serve a schema that is newer than its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Executable, Result, Row, Table, event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.stored_formats import CJ_DATABASE
from cj_pipeline.services.cj.store import sqlite_driver as inline_sqlite
from cj_pipeline.services.cj.store.migrations import migrate
from cj_pipeline.services.cj.store.tables import SCHEMA_VERSION, metadata, schema_versions

_log = logging.getLogger(__name__)

# Two creators of one schema would each find nothing and both create; any number, as long as all use it.
_SCHEMA_LOCK = 5_094_001

# Classes of PostgreSQL's SQLSTATE: connection, transaction rollback (deadlock), resources, operator's intervention.
_PASSING_STATES = frozenset({"08", "40", "53", "57"})

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pool:
    """Connections to PostgreSQL: how many stay open, how many more there may be, and how long one lives (-1: for ever).

    pre_ping: whether one is tried before it is used.
    """

    size: int = 5
    max_overflow: int = 5
    pre_ping: bool = True
    recycle_s: int = -1


_POOL = Pool()


class OtherSchema(CjPipelineError):
    """A database whose tables belong to another version."""


class DatabaseAway(CjPipelineError):
    """A database that cannot be reached."""


class Transaction:
    """One transaction, and what is to be done once it is committed."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._after: list[Callable[[], None]] = []

    async def execute(self, statement: Executable, rows: Sequence[Values] | None = None) -> Result[Any]:
        """Run a statement, for each of the rows where there are some."""
        return await self._connection.execute(statement, rows)

    async def first(self, statement: Executable) -> Row[Any] | None:
        """Return the first row, or None."""
        return (await self._connection.execute(statement)).first()

    async def all(self, statement: Executable) -> Sequence[Row[Any]]:
        """Return all rows."""
        return (await self._connection.execute(statement)).all()

    async def insert_unless_there(self, table: Table, values: Values) -> bool:
        """Insert a row; False when one with the same key is there already, which then stays as it is."""
        insert = sqlite.insert if self._connection.dialect.name == "sqlite" else postgresql.insert
        result = await self._connection.execute(insert(table).values(**values).on_conflict_do_nothing())
        return bool(result.rowcount)

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run something once the transaction holds: metrics, waking a task. It must not raise."""
        self._after.append(action)

    def run_after_commit(self) -> None:
        """Called once by the database."""
        for action in self._after:
            action()


class Database:
    """A database by its URL. Raises BadInput for one that is not SQLite's or PostgreSQL's."""

    def __init__(self, url: str, pool: Pool = _POOL) -> None:
        self._engine = _engine(url, pool)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction, committed at the end of the block and rolled back where it raises.

        Not to be nested: SQLite has one connection a process, and waits for it here.
        """
        async with self._engine.connect() as connection:
            transaction = Transaction(connection)
            async with connection.begin():
                yield transaction
        transaction.run_after_commit()

    def connections(self) -> tuple[int, int]:
        """Return how many connections are in use, and how many wait to be."""
        pool = self._engine.pool
        return (pool.checkedout(), pool.checkedin()) if isinstance(pool, AsyncAdaptedQueuePool) else (0, 0)

    def watch(self, ended: Callable[[str, float], None], failed: Callable[[str], None]) -> None:
        """Call `ended` with the end of each transaction (commit, rollback) and its seconds, `failed` with each error.

        The seconds are those of the loop, and an error is told by its kind.
        """
        engine = self._engine.sync_engine
        # Not in `connection.info`: a connection that the server has ended has none while it is rolled back, and says so
        # with an error that hides the server's.
        began_s: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

        def begin(connection: Connection) -> None:
            began_s[connection] = asyncio.get_running_loop().time()

        def end(how: str) -> Callable[[Connection], None]:
            def tell(connection: Connection) -> None:
                # SQLite begins by taking its lock; a transaction that did not get it is rolled back and never began.
                if (began := began_s.get(connection)) is not None:
                    ended(how, asyncio.get_running_loop().time() - began)

            return tell

        event.listen(engine, "begin", begin)
        event.listen(engine, "commit", end("commit"))
        event.listen(engine, "rollback", end("rollback"))
        event.listen(engine, "handle_error", lambda context: failed(type(context.original_exception).__name__))

    async def create_schema(self, clock: LoopClock) -> None:
        """Make the tables where there are none, and bring older ones up to date. Raises OtherSchema, DatabaseAway."""
        try:
            async with self._engine.connect() as connection, connection.begin():
                if self.dialect == "postgresql":
                    await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
                await connection.run_sync(metadata.create_all)
                version = (await connection.execute(select(schema_versions.c.version))).scalars().all()
                if not version:
                    row = {"version": SCHEMA_VERSION, "applied_at": clock.now()}
                    await connection.execute(schema_versions.insert(), row)
                elif max(version) != SCHEMA_VERSION:
                    if not await connection.run_sync(migrate, max(version), SCHEMA_VERSION):
                        raise OtherSchema(f"The database {CJ_DATABASE.too_new(max(version))} Upgrade cj-pipeline.")
                    row = {"version": SCHEMA_VERSION, "applied_at": clock.now()}
                    await connection.execute(schema_versions.insert(), row)
                    _log.info("the database was brought from schema %d to %d", max(version), SCHEMA_VERSION)
        except (OSError, DBAPIError) as error:
            # The driver's message names the host; it may name the user, and never the password.
            kind = type(error.orig).__name__ if isinstance(error, DBAPIError) else type(error).__name__
            raise DatabaseAway(
                f"The database cannot be used ({kind}). Is CJ_ASSESSMENT_SERVICE_DATABASE_URL right?"
            ) from None

    async def aclose(self) -> None:
        """Let the connections go."""
        await self._engine.dispose()


def is_away(error: BaseException) -> bool:
    """Return whether an error says that the database was away or busy, so that trying again can help."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError)
    state = getattr(error.orig, "sqlstate", None)
    passing = isinstance(state, str) and state[:2] in _PASSING_STATES
    return passing or error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def _engine(url: str, pool: Pool) -> AsyncEngine:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number, with the port in its text
        raise _unknown_url() from None
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite_engine(parsed)
        case "postgresql" | "postgres":
            return create_async_engine(
                parsed.set(drivername="postgresql+asyncpg"),
                pool_size=pool.size,
                max_overflow=pool.max_overflow,
                pool_pre_ping=pool.pre_ping,
                pool_recycle=pool.recycle_s,
            )
    raise _unknown_url()


def _unknown_url() -> BadInput:
    return BadInput(
        "is not the URL of a database.",
        path="environment",
        field="CJ_ASSESSMENT_SERVICE_DATABASE_URL",
        remedy="Use sqlite:///FILE or postgresql://USER@HOST/DATABASE.",
    )


def _sqlite_engine(url: URL) -> AsyncEngine:
    database = url.database or ":memory:"

    async def connect(*_: Any, **__: Any) -> inline_sqlite.InlineConnection:
        return await inline_sqlite.connect(database)

    engine = create_async_engine(
        "sqlite+aiosqlite:///" + ("file" if database != ":memory:" else "memory"),
        # Its own signature wants the usual driver's connection; it calls no more than the inline one has.
        async_creator=connect,
        # One: SQLite has one writer, and a database in memory is its connection.
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=3600.0,
    )

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
