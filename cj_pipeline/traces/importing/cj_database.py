"""This module connects to a CJ database (PostgreSQL, or SQLite), and reads one batch as a source, or the assignments.

Nothing is ever written: the transaction is read-only where the server enforces it, and a SQLite file is opened so.
Neither a password nor a user's name is in any error, log or provenance; a driver's own message may hold both, so of
its errors only the kind is stated.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.importing.cj_batch import batch_source
from cj_pipeline.traces.importing.cj_tables import AssignmentRows, BatchRows, read_assignments, read_batch
from cj_pipeline.traces.importing.source import Source

Rows = TypeVar("Rows")

_CONNECT_SECONDS = 10


def cj_database(url: str, batch: str) -> Source:
    """Return one batch. url: `postgresql://USER@HOST/DATABASE` or `sqlite:///FILE`; batch: its BOS id or its CJ number.

    Raises BadInput: not such a URL, not to be reached, another database, no such batch or several, none answered.
    """
    return batch_source(*_read(url, _batch(batch)))


def cj_rows(url: str, batch: str) -> BatchRows:
    """Return the rows of one batch as they are. Raises BadInput as `cj_database` does, but for one without answers."""
    return _read(url, _batch(batch))[0]


def cj_assignments(url: str) -> AssignmentRows:
    """Return the instructions and anchors of every assignment. Raises BadInput: a database that cannot be read."""
    return _read(url, read_assignments)[0]


def _batch(batch: str) -> Callable[[Connection, str], BatchRows]:
    return lambda connection, place: read_batch(connection, batch, place)


def _read(url: str, read: Callable[[Connection, str], Rows]) -> tuple[Rows, str]:
    """Return what `read` finds in a database, and the database's name in words. read: gets the name, for its errors."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise _unusable() from None
    match parsed.get_backend_name():
        case "sqlite":
            return _from_sqlite(parsed, read)
        case "postgresql" | "postgres":
            return _from_postgresql(parsed, read)
        case _:
            raise _unusable()


def _unusable() -> BadInput:
    return BadInput(
        "is not the URL of a database that can be read.",
        path="the CJ database",
        remedy="Use postgresql://USER@HOST/DATABASE or sqlite:///FILE.",
    )


def _from_sqlite(url: URL, read: Callable[[Connection, str], Rows]) -> tuple[Rows, str]:
    path = Path(url.database or "")
    place = f"sqlite:///{path}"
    if not path.is_file():
        raise BadInput("no such file.", path=place, remedy="Use sqlite:///FILE, or sqlite:////FILE for a path from /.")

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            return read(connection, place), place
    except SQLAlchemyError as error:
        raise _away(place, error) from None
    finally:
        engine.dispose()


def _from_postgresql(url: URL, read: Callable[[Connection, str], Rows]) -> tuple[Rows, str]:
    place = f"postgresql://{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"
    try:
        return asyncio.run(_from_server(url, read, place)), place
    except (SQLAlchemyError, asyncpg.PostgresError, OSError, TypeError, ValueError) as error:
        # The last two: a word in the URL's query that the driver does not know, or a value that it cannot use.
        raise _away(place, error) from None


async def _from_server(url: URL, read: Callable[[Connection, str], Rows], place: str) -> Rows:
    engine = create_async_engine(
        _for_asyncpg(url),
        poolclass=NullPool,
        connect_args={"timeout": _CONNECT_SECONDS},
        execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    )
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(read, place)
    finally:
        await engine.dispose()


def _for_asyncpg(url: URL) -> URL:
    """Return the same address for another driver, which calls libpq's `sslmode` by another name."""
    sslmode = url.query.get("sslmode")
    there = url.set(drivername="postgresql+asyncpg").difference_update_query(["sslmode"])
    return there if sslmode is None else there.update_query_dict({"ssl": sslmode})


def _away(place: str, error: Exception) -> BadInput:
    stated: BaseException = getattr(error, "orig", None) or error
    # The driver's own word is beneath the one that stands for all drivers.
    kind = type(stated.__cause__ or stated).__name__
    return BadInput(
        f"cannot be read ({kind}).",
        path=place,
        remedy="Is the server up, and may this user connect and read the tables of the CJ service?",
    )
