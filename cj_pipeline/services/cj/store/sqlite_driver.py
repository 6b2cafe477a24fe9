"""This module runs SQLite inside the event loop: a driver for SQLAlchemy's asyncio dialect.

The usual driver keeps a thread for each connection. A thread cannot be waited for on a loop of virtual time, and a
statement on a local file takes less than the two changes of thread. The one thing that can take long is another
process's write lock, and that is waited for with timers of the loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

# Another replica holds the lock for a transaction, which is milliseconds.
PATIENCE_S = 30.0
_BETWEEN_ATTEMPTS_S = 0.005

Parameters = Sequence[Any]


async def connect(database: str) -> InlineConnection:
    """Open a file, or `:memory:`."""
    raw = sqlite3.connect(database, timeout=0.0, isolation_level=None)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=NORMAL")
    raw.execute("PRAGMA foreign_keys=ON")
    return InlineConnection(raw)


class InlineCursor:
    """A cursor; every method returns at once, but for one that needs a lock."""

    def __init__(self, raw: sqlite3.Cursor) -> None:
        self._raw = raw
        self.arraysize = 1

    async def __aenter__(self) -> InlineCursor:
        return self

    @property
    def description(self) -> Any:
        """As of any DBAPI cursor."""
        return self._raw.description

    @property
    def rowcount(self) -> int:
        """As of any DBAPI cursor."""
        return self._raw.rowcount

    @property
    def lastrowid(self) -> int | None:
        """As of any DBAPI cursor."""
        return self._raw.lastrowid

    async def execute(self, statement: str, parameters: Parameters | None = None) -> InlineCursor:
        """Run one statement, waiting up to half a minute for a lock. Raises sqlite3.Error."""
        await _patiently(lambda: self._raw.execute(statement, parameters or ()))
        return self

    async def executemany(self, statement: str, parameters: Iterable[Parameters]) -> InlineCursor:
        """Run one statement for each set of parameters."""
        rows = list(parameters)
        await _patiently(lambda: self._raw.executemany(statement, rows))
        return self

    async def fetchone(self) -> Any:
        """Return the next row, None after the last."""
        return self._raw.fetchone()

    async def fetchmany(self, size: int = 1) -> list[Any]:
        """Return the next rows."""
        return self._raw.fetchmany(size)

    async def fetchall(self) -> list[Any]:
        """Return the rest."""
        return self._raw.fetchall()

    async def close(self) -> None:
        """Let it go."""
        self._raw.close()


class InlineConnection:
    """A connection with the methods that SQLAlchemy's adapter calls."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._connection: sqlite3.Connection | None = raw
        self._raw = raw

    def cursor(self) -> InlineCursor:
        """Return a new cursor."""
        return InlineCursor(self._raw.cursor())

    async def create_function(self, *arguments: Any, **options: Any) -> None:
        """Register a function, as the dialect does for regular expressions."""
        self._raw.create_function(*arguments, **options)

    async def commit(self) -> None:
        """End the transaction."""
        await _patiently(self._raw.commit)

    async def rollback(self) -> None:
        """Undo the transaction."""
        self._raw.rollback()

    async def close(self) -> None:
        """Close it; a second time does nothing."""
        self.stop()

    def stop(self) -> None:
        """Close it at once."""
        self._raw.close()
        self._connection = None


async def _patiently(action: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while True:
        try:
            action()
        except sqlite3.OperationalError as error:
            # SQLITE_BUSY and its extended codes; the low byte tells.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or loop.time() >= deadline:
                raise
            await asyncio.sleep(_BETWEEN_ATTEMPTS_S)
        else:
            return
