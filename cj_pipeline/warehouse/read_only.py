"""This module answers one SELECT over the warehouse, and can do nothing else.

DuckDB may read the data folder alone, its configuration is locked, and only a statement that its own parser calls a
SELECT is run: with COPY, a folder that may be read could be written too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from threading import Timer
from typing import Any

import duckdb

from cj_pipeline.warehouse.catalogue import quoted
from cj_pipeline.warehouse.store import QueryFailed, Warehouse

MOST_ROWS = 100_000
MOST_MEMORY = "1GB"
MOST_SECONDS = 15.0
MOST_BYTES = 1_000_000

_TOO_LONG = f"A value has more than {MOST_BYTES:,} bytes. Ask for a part of it."

# EXPLAIN ANALYZE runs what follows, which may be a COPY; `analyze ...` is no SELECT, so that is refused.
_EXPLAIN = re.compile(r"\s*explain\s+(?=[a-z(])", re.IGNORECASE)

# Read as text: Python has no date beyond the year 9999, none at infinity, and no nanosecond.
_AS_TEXT = ("DATE", "TIME", "INTERVAL")


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of one query.

    more: whether there are others, which the limit left out. damaged: a sentence for each file that the catalogue
    leaves out.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    more: bool
    damaged: tuple[str, ...] = ()


def ask(warehouse: Warehouse, sql: str, *, seconds: float = MOST_SECONDS) -> Answer:
    """Run one SELECT, in limits of rows, memory and time.

    Raises BadInput without a catalogue, QueryFailed for anything but one SELECT, for bad SQL, and beyond a limit.
    """
    with warehouse.connect() as connection:
        late = Timer(seconds, connection.interrupt)
        try:
            damaged = tuple(text for (text,) in connection.execute("from catalogue.left_out").fetchall())
            _lock(connection, warehouse)
            explained = _EXPLAIN.match(sql)
            statements = connection.extract_statements(sql[explained.end() :] if explained else sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise QueryFailed("This is read-only: one SELECT (or EXPLAIN of one) is answered, and nothing else.")
            late.start()
            if explained:
                plans = connection.execute(sql).fetchall()
                return Answer(("plan",), [(line,) for _, plan in plans for line in plan.splitlines()], more=False)
            return replace(_answer(connection.sql(sql)), damaged=damaged)
        except duckdb.InterruptException:
            raise QueryFailed(f"The query took more than {seconds:g} s; ask for less.") from None
        except (duckdb.OutOfMemoryException, MemoryError):
            raise QueryFailed(f"The query needs more than {MOST_MEMORY} of memory; ask for less.") from None
        except (duckdb.Error, RuntimeError, ValueError, OverflowError) as error:
            raise warehouse.query_failed(error) from None
        finally:
            late.cancel()


def _lock(connection: duckdb.DuckDBPyConnection, warehouse: Warehouse) -> None:
    """Allow nothing but to read the data folder, and nobody to allow more."""
    connection.execute("set temp_directory = ''")  # what does not fit in memory is refused, not spilled to disk
    connection.execute(f"set memory_limit = '{MOST_MEMORY}'")
    connection.execute(f"set allowed_directories = [{quoted(f'{warehouse.root}/')}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def _answer(relation: duckdb.DuckDBPyRelation) -> Answer:
    # By position: two columns may have one name.
    wanted = ", ".join(_value(place, str(kind)) for place, kind in enumerate(relation.types, start=1))
    rows = relation.project(wanted).limit(MOST_ROWS + 1).fetchall()
    return Answer(tuple(relation.columns), rows[:MOST_ROWS], len(rows) > MOST_ROWS)


def _value(place: int, kind: str) -> str:
    """Return the SQL that reads one column."""
    if kind.startswith(_AS_TEXT):
        return f"cast(#{place} as varchar)"
    if kind in ("VARCHAR", "BLOB"):
        length = "strlen" if kind == "VARCHAR" else "octet_length"
        return f"if({length}(#{place}) > {MOST_BYTES}, error('{_TOO_LONG}')::{kind}, #{place})"
    return f"#{place}"
