"""This module tests that the database of an older CJ service keeps its batch when a newer one starts on it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Table, create_engine, select, text

from cj_pipeline.engine.stored import from_json
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.runs.virtual_time import run_real
from cj_pipeline.services.cj.store.database import Database, OtherSchema
from cj_pipeline.services.cj.store.tables import SCHEMA_VERSION, metadata, state_snapshots
from tests.cli.terminal import terminal_of
from tests.house import REPOSITORY
from tests.servers import needs
from tests.services.cj.test_positions import WITHOUT_TIMES

KEPT = Path(__file__).parent / "old" / "schema_2.sql"

LATER = {"cj_processed_essays": {"created_at", "updated_at"}, "grade_projections": {"created_at"}}
"""Columns that schema 2 had not."""

Tables = dict[str, list[dict[str, Any]]]


def old_columns(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if column.name not in LATER.get(table.name, ())]


def kept_rows(path: Path) -> Tables:
    """The rows of an SQLite file, in the columns of schema 2; the table of versions apart."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        tables = {
            table.name: [dict(row) for row in connection.execute(select(*old_columns(table))).mappings()]
            for table in metadata.sorted_tables
            if table.name != "cj_schema_versions"
        }
    engine.dispose()
    return tables


async def rows_of(database: Database) -> Tables:
    async with database.transaction() as transaction:
        return {
            table.name: [dict(row._mapping) for row in await transaction.all(select(*old_columns(table)))]
            for table in metadata.sorted_tables
            if table.name != "cj_schema_versions"
        }


def dumped(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return list(database.iterdump())


def in_order(tables: Tables) -> dict[str, list[str]]:
    return {name: sorted(map(repr, rows)) for name, rows in tables.items()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The SQLite file that a service of schema 2 left."""
    path = tmp_path / "cj.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(KEPT.read_text(encoding="utf-8"))
    return path


async def restored(url: str, tables: Tables) -> None:
    """Put the rows of schema 2 into a database of that schema."""
    database = Database(url)
    try:
        await database.create_schema(LoopClock())
        async with database.transaction() as transaction:
            for statement in WITHOUT_TIMES.split(";"):
                await transaction.execute(text(statement))
            for table in metadata.sorted_tables:
                if tables.get(table.name):
                    await transaction.execute(table.insert(), tables[table.name])
    finally:
        await database.aclose()


@pytest.mark.parametrize("kind", ["sqlite", needs("postgresql")])
def test_replicas_that_start_at_once_bring_a_stored_database_up_to_date(
    kind: str, file: Path, request: pytest.FixtureRequest
) -> None:
    before = kept_rows(file)
    assert [len(before[name]) for name in ("cj_processed_essays", "cj_comparison_pairs", "event_outbox")] == [4, 4, 3]
    url = f"sqlite:///{file}" if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))

    async def script() -> None:
        if kind != "sqlite":
            await restored(url, before)
        replicas = [Database(url) for _ in range(3)]
        try:
            await asyncio.gather(*(replica.create_schema(LoopClock()) for replica in replicas))
            assert in_order(await rows_of(replicas[0])) == in_order(before)
            async with replicas[0].transaction() as transaction:
                versions = await transaction.all(text("SELECT version FROM cj_schema_versions ORDER BY version"))
                (state,) = await transaction.all(select(state_snapshots.c.state))
                times = await transaction.all(text("SELECT created_at, updated_at FROM cj_processed_essays"))
            assert [row.version for row in versions] == [2, SCHEMA_VERSION]
            assert all(None not in row for row in times)
            batch = from_json(state.state)
            assert (batch.submitted, batch.completed, batch.failed) == (4, 4, 0)
        finally:
            for replica in replicas:
                await replica.aclose()

    run_real(script())


KILLED_AT = """
import os, signal, sys
from sqlalchemy import event
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.runs.virtual_time import run_real
from cj_pipeline.services.cj.store.database import Database

async def script():
    database = Database(sys.argv[1])
    def look(connection, cursor, statement, *_):
        if statement.strip().startswith(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
    event.listen(database._engine.sync_engine, "before_cursor_execute", look)
    event.listen(database._engine.sync_engine, "commit", lambda connection: look(connection, None, "COMMIT"))
    await database.create_schema(LoopClock())

run_real(script())
"""


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE cj_processed_essays", "INSERT INTO cj_processed_essays", "DROP TABLE grade", "COMMIT"]
)
def test_a_service_that_is_killed_in_a_migration_leaves_the_old_schema(statement: str, file: Path) -> None:
    before = kept_rows(file)
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT, f"sqlite:///{file}", statement],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert kept_rows(file) == before
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT version FROM cj_schema_versions").fetchall() == [(2,)]
        columns = {row[1] for row in database.execute("PRAGMA table_info(cj_processed_essays)")}
    assert not columns & LATER["cj_processed_essays"]

    async def script() -> None:
        database = Database(f"sqlite:///{file}")
        await database.create_schema(LoopClock())
        assert in_order(await rows_of(database)) == in_order(before)
        await database.aclose()

    run_real(script())


def test_a_batch_of_an_old_database_is_extracted_before_and_after(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cj_pipeline = terminal_of(monkeypatch, capsys)
    before = cj_pipeline("extract", "bos-1", "--format", "json", "--database", f"sqlite:///{file}")
    assert before.code == 0, before.err
    assert len(before.document["comparisons"]) == 4

    async def script() -> None:
        database = Database(f"sqlite:///{file}")
        await database.create_schema(LoopClock())
        await database.aclose()

    run_real(script())
    after = cj_pipeline("extract", "bos-1", "--format", "json", "--database", f"sqlite:///{file}")
    assert json.dumps(after.document) == json.dumps(before.document)


def test_a_service_does_not_start_on_a_newer_database_and_changes_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE cj_schema_versions SET version = 9")
        database.execute("DROP TABLE cj_wave_submissions")  # as a newer version may
    before = dumped(file)

    async def script() -> None:
        database = Database(f"sqlite:///{file}")
        try:
            with pytest.raises(OtherSchema, match=r"version 9 of the database of the CJ service, .* 1 to 3\. Upgrade"):
                await database.create_schema(LoopClock())
        finally:
            await database.aclose()

    run_real(script())
    assert dumped(file) == before
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_DATABASE_URL", f"sqlite:///{file}")
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(file.parent / "data"))
    answer = terminal_of(monkeypatch, capsys)("cj", "serve", "--port", "0")
    assert answer.code == exit_codes.BAD_INPUT
    assert "is version 9 of the database of the CJ service" in answer.err
