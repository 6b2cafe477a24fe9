"""A database whose process dies at a commit, or that is away for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import OperationalError

from cj_pipeline.services.cj.store.database import Database, Transaction


class Killed(BaseException):
    """The process ended; not an Exception, so that nothing in it can go on."""


class DyingDatabase(Database):
    """Counts commits; at the one that it was told of, everything ends, before or after it."""

    def __init__(self, url: str = "sqlite://") -> None:
        super().__init__(url)
        self.commits = 0
        self.die_before: int | None = None
        self.die_after: int | None = None
        self.away_before: int | None = None
        self.dead = False

    def revive(self) -> None:
        self.dead = False
        self.die_before = self.die_after = self.away_before = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """As the database's own, with an end before or after the commit."""
        if self.dead:
            raise Killed
        async with self._engine.connect() as connection:
            transaction = Transaction(connection)
            async with connection.begin():
                yield transaction
                self._before_commit()
            self._die_at(self.die_after)
        transaction.run_after_commit()

    def _before_commit(self) -> None:
        if self.dead:
            raise Killed
        self.commits += 1
        if self.commits == self.away_before:
            raise OperationalError("COMMIT", None, OSError("the server closed the connection"))
        self._die_at(self.die_before)

    def _die_at(self, commit: int | None) -> None:
        if commit == self.commits:
            self.dead = True
            raise Killed
