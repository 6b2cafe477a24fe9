"""This module keeps a data folder as small text, and makes the real files of it again.

A Parquet file becomes JSON by column, with its columns' types and its metadata; a DuckDB catalogue and an SQLite file
become the SQL that makes them; everything else is text already. Paths below the folder begin with @ROOT@. A long column
is compressed: sixty checks say much the same.

    python -m tests.warehouse.old_folder FOLDER tests/warehouse/old/NAME
"""

from __future__ import annotations

import base64
import json
import sqlite3
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

OLD = Path(__file__).parent / "old"
FIRST, EVENING, NIGHT = "396e265", "8ce93e5", "13fd0a0"
ROOT = "@ROOT@"

_TYPES = {str(kind): kind for kind in (pa.string(), pa.binary(), pa.bool_(), pa.int32(), pa.int64(), pa.float64())}
_TYPES["timestamp[us, tz=UTC]"] = pa.timestamp("us", tz="UTC")


def rebuild(kept: Path, folder: Path) -> Path:
    """Make the files of a kept folder below another one, and return that."""
    for path in sorted(path for path in kept.rglob("*") if path.is_file()):
        target = folder / path.relative_to(kept)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8").replace(ROOT, str(folder.absolute()))
        made = target.with_suffix("")
        if path.name.endswith(".parquet.json"):
            pq.write_table(_table(json.loads(text)), made, compression="zstd")
        elif path.name.endswith(".duckdb.sql"):
            with duckdb.connect(str(made)) as database:
                database.execute(text)
        elif path.name.endswith((".sqlite.sql", ".db.sql")):
            with closing(sqlite3.connect(made)) as lite:
                lite.executescript(text)
        else:
            target.write_text(text, encoding="utf-8")
    return folder


def keep(folder: Path, kept: Path) -> None:
    """Write a folder as text. Caches are left out."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts):
        target = kept / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        match path.suffix:
            case ".parquet":
                text, ending = _parquet_text(path), ".json"
            case ".duckdb":
                text, ending = "\n".join(_catalogue_sql(path)) + "\n", ".sql"
            case ".sqlite" | ".db":
                with closing(sqlite3.connect(path)) as lite:
                    text, ending = "\n".join(lite.iterdump()) + "\n", ".sql"
            case _:
                text, ending = path.read_text(encoding="utf-8"), ""
        text = text.replace(str(folder.absolute()), ROOT)
        target.with_name(f"{target.name}{ending}").write_text(text, encoding="utf-8")


def newer(path: Path) -> None:
    """Make a part, a pointer, a history or a catalogue that says version 9, as a newer program would."""
    if path.suffix == ".parquet":
        table = pq.read_table(path, partitioning=None)
        key = b"cj_pipeline_history_schema" if "history" in path.parts else b"cj_pipeline_schema"
        pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), key: b"9"}), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps({"schema_version": 9, "key": "of tomorrow"}), encoding="utf-8")
    else:
        with duckdb.connect(str(path)) as connection:
            connection.execute("create or replace schema catalogue")
            connection.execute("create or replace table catalogue.version as select 9 as version, 'x' as root")


def _parquet_text(path: Path) -> str:
    table = pq.read_table(path, partitioning=None)
    lines = [f" {json.dumps(name)}: {_short(_column(table, name))}" for name in table.column_names]
    head = {
        "rows": len(table),
        "types": {field.name: f"{field.type}{'' if field.nullable else ' not null'}" for field in table.schema},
        "metadata": {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()},
    }
    text = json.dumps(head, ensure_ascii=False)[:-1]
    return f'{text}, "columns": {{\n' + ",\n".join(lines) + "\n}}\n"


def _short(column: Any) -> str:
    """Return a column as JSON, compressed where that is much shorter."""
    plain = json.dumps(column, ensure_ascii=False)
    packed = json.dumps({"zlib": base64.b64encode(zlib.compress(plain.encode(), 9)).decode()})
    return packed if len(packed) < len(plain) * 0.75 else plain


def _column(table: pa.Table, name: str) -> Any:
    """Return a column as a list, or its one value where it has no other."""
    kind = table.schema.field(name).type
    column = table[name].cast(pa.int64()) if pa.types.is_timestamp(kind) else table[name]
    values = [base64.b64encode(one).decode() if isinstance(one, bytes) else one for one in column.to_pylist()]
    return values[0] if len(values) > 1 and all(one == values[0] for one in values) else values


def _table(kept: dict[str, Any]) -> pa.Table:
    arrays, fields = [], []
    for name, described in kept["types"].items():
        kind = _TYPES[described.removesuffix(" not null")]
        values = kept["columns"][name]
        if isinstance(values, dict):
            values = json.loads(zlib.decompress(base64.b64decode(values["zlib"])))
        values = values if isinstance(values, list) else [values] * kept["rows"]
        if pa.types.is_binary(kind):
            values = [None if one is None else base64.b64decode(one) for one in values]
        array = pa.array(values, pa.int64()).cast(kind) if pa.types.is_timestamp(kind) else pa.array(values, kind)
        arrays.append(array)
        fields.append(pa.field(name, kind, nullable=not described.endswith(" not null")))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=kept["metadata"]))


def _catalogue_sql(path: Path) -> Iterator[str]:
    """Yield the statements of a catalogue: its empty tables, and its views over files."""
    with duckdb.connect(str(path), read_only=True) as database:
        tables = database.execute("select sql from duckdb_tables() order by table_name").fetchall()
        views = database.execute("select sql from duckdb_views() where not internal order by view_name").fetchall()
    yield from (sql for (sql,) in (*tables, *views))


if __name__ == "__main__":
    keep(Path(sys.argv[1]), Path(sys.argv[2]))
