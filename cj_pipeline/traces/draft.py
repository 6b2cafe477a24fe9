"""This module keeps the callbacks of a trace under construction in one SQLite file, in the order of the trace.

Callbacks and whatever else their owner notes (positions, counts) are committed in one transaction, so that they cannot
disagree: whatever ends the process, the file holds what the last commit held, and reading goes on from there.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.json_lines import BYTE_ORDER_MARK
from cj_pipeline.foundation.stored_formats import DRAFT
from cj_pipeline.foundation.versions import NewerVersion, claim_database
from cj_pipeline.traces.glance import Glance, glance

if TYPE_CHECKING:
    from cj_pipeline.contracts.callback import CallbackEvent
    from cj_pipeline.traces.message_filter import Unusable
    from cj_pipeline.traces.redactor import Redactor

DRAFT_FILE = "draft.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS callbacks (
    time INTEGER NOT NULL, source INTEGER NOT NULL, position INTEGER NOT NULL,
    request_id TEXT NOT NULL UNIQUE, correlation_id TEXT NOT NULL, outcome TEXT NOT NULL, line BLOB NOT NULL,
    PRIMARY KEY (time, source, position)
);
CREATE TABLE IF NOT EXISTS repeats (
    time INTEGER NOT NULL, source INTEGER NOT NULL, position INTEGER NOT NULL,
    request_id TEXT NOT NULL, correlation_id TEXT NOT NULL, outcome TEXT NOT NULL, line BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS quarantine (
    source INTEGER NOT NULL, position INTEGER NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (source, position)
);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

# 64 MiB of pages in memory: a page of request ids is written once a commit and not once a callback.
_PRAGMAS = """
PRAGMA page_size = 8192;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA cache_size = -65536;
"""

_BREAKS_TO_SPACES = bytes(ord(" ") if byte in b"\r\n" else byte for byte in range(256))


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a callback belongs. The trace is in the order of time, then source, then position.

    time: of the record, in a unit of its owner's; source: a partition; position: an offset, or a running number.
    """

    time: int
    source: int
    position: int


@dataclass(frozen=True, slots=True)
class DraftCounts:
    """Callbacks of a draft. duplicates, contradictions: they repeat the request id of one that is taken."""

    taken: int
    duplicates: int
    contradictions: int


class CallbackDraft:
    """One draft file, held by one process at a time. Nothing is kept before `commit`."""

    def __init__(self, path: Path, wait_seconds: float = 3.0) -> None:
        """Open or make it. Raises BadInput when another process holds it, or it is no draft; NewerVersion."""
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, timeout=wait_seconds)
        try:
            DRAFT.known(self._db.execute("PRAGMA user_version").fetchone()[0] or None, path)
            self._db.executescript(_PRAGMAS)
            # The first write takes the lock, and keeps it until the file is closed.
            self._db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            claim_database(DRAFT, self._db, path)
            self._db.execute("COMMIT")
            self._db.execute("BEGIN")
        except NewerVersion:
            self._db.close()
            raise
        except sqlite3.OperationalError as error:
            self._db.close()
            if "locked" not in str(error):
                raise
            raise BadInput(
                "another process is writing it.", path=path.parent, remedy="Wait for it, or choose another scenario id."
            ) from None
        except sqlite3.DatabaseError:
            self._db.close()
            raise BadInput("is no draft of a trace.", path=path, remedy="Delete its folder and begin again.") from None
        self.taken: int = self._number("SELECT count(*) FROM callbacks")

    def take(self, place: Place, read: Glance, line: bytes) -> bool:
        """Keep one callback; return whether its request is new. Of several for one request the earliest place counts.

        place: of no other callback.
        """
        row = (place.time, place.source, place.position, read.request_id, read.correlation_id, read.outcome, line)
        if self._db.execute("INSERT OR IGNORE INTO callbacks VALUES (?, ?, ?, ?, ?, ?, ?)", row).rowcount:
            self.taken += 1
            return True
        earlier = self._db.execute("SELECT * FROM callbacks WHERE request_id = ?", (read.request_id,)).fetchone()
        if place < Place(*earlier[:3]):
            self._db.execute("DELETE FROM callbacks WHERE request_id = ?", (read.request_id,))
            self._db.execute("INSERT INTO callbacks VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            row = earlier
        self._db.execute("INSERT INTO repeats VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return False

    def set_aside(self, source: int, position: int, entry: dict[str, Any]) -> None:
        """Keep the entry of something that cannot be used."""
        self._db.execute("INSERT INTO quarantine VALUES (?, ?, ?)", (source, position, json.dumps(entry).encode()))

    def note(self, name: str, value: object) -> None:
        """Keep a JSON value under a name."""
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, json.dumps(value)))

    def noted(self, name: str) -> Any:
        """Return the value under a name; None where there is none."""
        found = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if found is None else json.loads(found[0])

    def commit(self) -> None:
        """Make everything so far survive the end of this process."""
        self._db.execute("COMMIT")
        self._db.execute("BEGIN")

    def counts(self) -> DraftCounts:
        """Count what became of the callbacks."""
        repeats = self._number("SELECT count(*) FROM repeats")
        contradictions = self._number(f"SELECT count(*) {_CONTRADICTIONS}")
        return DraftCounts(self.taken, repeats - contradictions, contradictions)

    def comparisons(self) -> int:
        """Count the different correlation ids."""
        return self._number("SELECT count(DISTINCT correlation_id) FROM callbacks")

    def last_positions(self) -> dict[int, int]:
        """Return, by source, the position of its last callback in the trace."""
        return dict(self._db.execute("SELECT source, max(position) FROM callbacks GROUP BY source"))

    def lines(self) -> Iterator[bytes]:
        """Yield the callbacks' lines in order."""
        return (line for (line,) in self._db.execute("SELECT line FROM callbacks ORDER BY time, source, position"))

    def quarantine(self, *, with_raw: bool) -> Iterator[bytes]:
        """Yield the entries of what was set aside, and of callbacks that contradict an earlier one.

        with_raw: contradicting lines are kept whole.
        """
        for (entry,) in self._db.execute("SELECT entry FROM quarantine ORDER BY source, position"):
            yield entry
        rows = self._db.execute(
            "SELECT repeats.source, repeats.position, callbacks.source, callbacks.position, repeats.line "
            f"{_CONTRADICTIONS} ORDER BY repeats.time, repeats.source, repeats.position"
        )
        for partition, offset, earlier_partition, earlier_offset, line in rows:
            entry = {
                "reason": "another outcome than an earlier callback of the same request",
                "field": "data.request_id",
                "partition": partition,
                "offset": offset,
                "earlier_partition": earlier_partition,
                "earlier_offset": earlier_offset,
                # Of the line as it would be in the trace; the message itself is gone where it was redacted.
                "size": len(line),
                "sha256": sha256(line).hexdigest(),
            }
            if with_raw:
                entry["raw"] = base64.b64encode(line).decode()
            yield json.dumps(entry).encode()

    def close(self) -> None:
        """Let go of the file; what was not committed is gone."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])


_CONTRADICTIONS = "FROM repeats JOIN callbacks USING (request_id) WHERE repeats.outcome != callbacks.outcome"


@contextmanager
def disk_errors_in_words(folder: Path) -> Iterator[None]:
    """Turn what SQLite says of a full or broken disk into a sentence. What was committed is kept."""
    try:
        yield
    except sqlite3.Error as error:
        problem = f"{folder}: the draft cannot be written or read ({error}). Make room, and go on."
        raise CjPipelineError(problem) from None


def kept_line(event: CallbackEvent, raw: bytes, redaction: Redactor | None) -> tuple[bytes, Glance]:
    """Return the line of a callback as it is kept, and what the draft needs of it. raw: the callback's own JSON."""
    # Between the tokens of JSON a line break is as good as a space, and within them there is none.
    line = (
        raw.removeprefix(BYTE_ORDER_MARK).translate(_BREAKS_TO_SPACES) if redaction is None else redaction.line(event)
    )
    read = glance(line)
    if read is None:
        raise AssertionError("a callback cannot be read again")
    return line, read


def quarantine_entry(
    raw: bytes, why: Unusable, place: Mapping[str, int | str], redaction: Redactor | None, *, keep_raw: bool = False
) -> dict[str, Any]:
    """Return the entry of a message that cannot be used. Its bytes are in it where nothing is redacted, or keep_raw."""
    entry: dict[str, Any] = {"reason": why.reason, "field": why.field, **place, "size": len(raw)}
    if redaction is None or keep_raw:
        return entry | {"sha256": sha256(raw).hexdigest(), "raw": base64.b64encode(raw).decode()}
    # A plain digest would confirm a guess at a short message.
    return entry | {"keyed_sha256": redaction.message_digest(raw)}
