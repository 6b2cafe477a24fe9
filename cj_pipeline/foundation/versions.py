"""This module reads the version that a stored file says of itself, and refuses one that a newer program wrote.

A format whose first version had no mark is read as that version where the mark is missing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cj_pipeline.foundation.errors import BadInput, shortened

MARK = "schema_version"
"""The key of a version in JSON and YAML."""


class NewerVersion(BadInput):
    """A file of a version that this program does not know yet. It is left as it is."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One kind of file or table.

    what: its name in sentences; where: its place, below the data folder if nothing else is said; version: what this
    program writes; oldest: what it still reads; mark: how a file says its version; older, newer: what happens then.
    """

    what: str
    where: str
    version: int
    mark: str
    older: str
    newer: str
    oldest: int = 1

    def known(self, found: object, path: Path | str) -> int:
        """Return a version that this program knows; that of a file without a mark is the first one.

        found: as the file says it; None where it has no mark. Raises NewerVersion, and BadInput for no version at all.
        """
        version = 1 if found is None else found
        if not isinstance(version, int) or isinstance(version, bool):
            raise BadInput(f"{shortened(repr(found))} is no version of {self.what}.", path=path, remedy="Put it back.")
        if version > self.version:
            raise NewerVersion(self.too_new(version), path=path, remedy="Upgrade cj-pipeline.")
        if version < self.oldest:
            problem = f"is version {version} of {self.what}; this cj-pipeline {self._reads()}."
            raise BadInput(problem, path=path, remedy="Use the version of cj-pipeline that wrote it.")
        return version

    def too_new(self, version: int) -> str:
        """Return the sentence about a version that is not known yet."""
        return f"is version {version} of {self.what}, which a newer cj-pipeline wrote; this one {self._reads()}."

    def _reads(self) -> str:
        if self.oldest == self.version:
            return f"reads version {self.version}"
        return f"reads versions {self.oldest} to {self.version}"


def read_marked(stored: Stored, content: bytes, path: Path) -> dict[str, Any]:
    """Return a JSON object without its mark. Raises ValueError for what is no object, and as `known` does."""
    try:
        document = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(document, dict):
        raise ValueError("no JSON object")
    stored.known(document.pop(MARK, None), path)
    return document


def marked(stored: Stored, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with the mark of the version that this program writes."""
    return {MARK: stored.version, **document}


def claim_database(stored: Stored, database: sqlite3.Connection, path: Path) -> None:
    """Refuse a newer SQLite file, and mark an older one, in the transaction that is open.

    SQLite's `user_version` is 0 in a file that nobody has marked.
    """
    stored.known(database.execute("PRAGMA user_version").fetchone()[0] or None, path)
    database.execute(f"PRAGMA user_version = {stored.version:d}")
