"""This module keeps what all cells of an experiment have spent, in one file that several processes may write.

Before a call is sent, its worst price is set aside in one transaction over all cells: cells that run at the same time,
and processes that are killed, cannot spend the same money twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import LEDGER
from cj_pipeline.foundation.versions import claim_database
from cj_pipeline.runs.recording.spending import Purse

# For other processes, whose transactions take a millisecond each.
_WAIT_S = 60.0


class Ledger:
    """What each cell can have spent at most, US dollars."""

    def __init__(self, path: Path) -> None:
        """Make the file where there is none. This and all that is asked of it raises BadInput for a damaged one.

        Raises NewerVersion.
        """
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._opened() as db:
            db.execute("BEGIN IMMEDIATE")
            claim_database(LEDGER, db, path)
            db.execute("CREATE TABLE IF NOT EXISTS spent (cell TEXT PRIMARY KEY, usd REAL NOT NULL)")
            db.execute("COMMIT")

    def of(self, cell: str) -> float:
        """Return what one cell can have spent."""
        return self._sum("SELECT total(usd) FROM spent WHERE cell = ?", cell)

    def others(self, cell: str) -> float:
        """Return what all other cells can have spent."""
        return self._sum("SELECT total(usd) FROM spent WHERE cell != ?", cell)

    def total(self) -> float:
        """Return what all cells can have spent."""
        return self._sum("SELECT total(usd) FROM spent")

    def claim(self, cell: str, usd: float, limit: float | None) -> bool:
        """Write down that a cell spends so much in all; False, and nothing is written, where the limit forbids it."""
        with self._opened() as db:
            db.execute("BEGIN IMMEDIATE")
            others = float(db.execute("SELECT total(usd) FROM spent WHERE cell != ?", (cell,)).fetchone()[0])
            allowed = limit is None or others + usd <= limit
            if allowed:
                db.execute("INSERT OR REPLACE INTO spent VALUES (?, ?)", (cell, usd))
            db.execute("COMMIT")
        return allowed

    def _sum(self, query: str, *parameters: str) -> float:
        with self._opened() as db:
            return float(db.execute(query, parameters).fetchone()[0])

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None, timeout=_WAIT_S)) as db:
                yield db
        except sqlite3.Error as error:
            problem = f"does not say what was spent ({error})."
            raise BadInput(problem, path=self._path, remedy="Put it back, or remove it to count from 0.") from None


class SharedPurse(Purse):
    """The purse of one cell, which spends from the limit of all."""

    def __init__(
        self, ledger: Ledger, cell: str, limit: float | None, spent: float, on_change: Callable[[float], None]
    ) -> None:
        """Open it. spent: as the cell's own books say; the ledger may know of a call more."""
        super().__init__(limit, max(spent, ledger.of(cell)), on_change)
        self._ledger = ledger
        self._cell = cell

    def affords(self, usd: float) -> bool:
        """Return whether so much more can be set aside, beside what other cells have spent."""
        return self.limit is None or self._ledger.others(self._cell) + self.exposure + usd <= self.limit

    def reserve(self, usd: float) -> bool:
        """Set a worst price aside; False where the limit of all cells does not allow it."""
        if not self._ledger.claim(self._cell, self.exposure + usd, self.limit):
            self.refused = True
            return False
        self.reserved += usd
        self._on_change(self.exposure)
        return True

    def settle(self, reserved: float, usd: float | None) -> None:
        """Put what a call cost in the place of what was set aside for it."""
        super().settle(reserved, usd)
        self._ledger.claim(self._cell, self.exposure, None)
