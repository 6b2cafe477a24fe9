"""This module keeps datasets as Parquet files and makes the DuckDB catalogue over them.

Parquet is the record: one file per (dataset, scenario, part), written under a temporary name and renamed, so a reader
sees the old file or the new one and parallel steps never share one. The catalogue is derived: views with absolute
paths, built beside and swapped in, opened read-only by everyone else (a DuckDB writer shuts out even readers).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from cj_pipeline.foundation.errors import BadInput, CjPipelineError, did_you_mean
from cj_pipeline.warehouse.schemas import SCHEMAS, TIMESTAMP

CATALOGUE_FILE = "warehouse.duckdb"

Row = Mapping[str, Any]


class QueryFailed(CjPipelineError):
    """A query that DuckDB refused, in DuckDB's words."""


class Warehouse:
    """Datasets below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def catalogue_path(self) -> Path:
        """Return the path of the DuckDB file."""
        return self.root / CATALOGUE_FILE

    def path(self, dataset: str, scenario_id: str, part: str) -> Path:
        """Return the file of one part of a dataset, whether or not it exists."""
        return self.root / dataset / scenario_id / f"{part}.parquet"

    def write(self, dataset: str, scenario_id: str, part: str, rows: Sequence[Row]) -> Path:
        """Replace one part of a dataset by these rows (none is a valid part).

        Raises BadInput naming the column when a row does not fit the declared schema; the old part then stays.
        """
        path = self.path(dataset, scenario_id, part)
        table = _table(self._schema(dataset), rows, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            pq.write_table(table, temporary, compression="zstd")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return path

    def read(self, dataset: str, scenario_id: str, part: str) -> list[dict[str, Any]]:
        """Return the rows of one part, in the order in which they were written. Raises as read_columns does."""
        rows: list[dict[str, Any]] = self.read_columns(dataset, scenario_id, part).to_pylist()
        return rows

    def read_columns(self, dataset: str, scenario_id: str, part: str, columns: list[str] | None = None) -> pa.Table:
        """Return one part as a table, all its columns by default. Raises BadInput when it was never written."""
        path = self.path(dataset, scenario_id, part)
        schema = self._schema(dataset)
        if not path.is_file():
            raise BadInput(
                f"no {dataset} of '{scenario_id}' ({part}).", path=path, remedy="Materialise the scenario first."
            )
        return pq.read_table(path, schema=schema, columns=columns, partitioning=None)

    def remove(self, dataset: str, scenario_id: str, part: str) -> None:
        """Take one part of a dataset away, if it is there."""
        self.path(dataset, scenario_id, part).unlink(missing_ok=True)

    def _schema(self, dataset: str) -> pa.Schema:
        if dataset not in SCHEMAS:
            raise BadInput(f"no dataset is called '{dataset}'.", path=self.root, remedy=did_you_mean(dataset, SCHEMAS))
        return SCHEMAS[dataset]

    def rebuild_catalogue(self) -> Path:
        """Write a new catalogue and swap it in; open readers keep the one they have.

        Raises BadInput naming the dataset of which a file is no Parquet; the old catalogue then stays.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        temporary = self.root / f".{CATALOGUE_FILE}.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        try:
            with duckdb.connect(str(temporary)) as connection:
                for dataset, schema in SCHEMAS.items():
                    self._define(connection, dataset, schema)
            temporary.replace(self.catalogue_path)
        finally:
            temporary.unlink(missing_ok=True)
        return self.catalogue_path

    def _define(self, connection: duckdb.DuckDBPyConnection, dataset: str, schema: pa.Schema) -> None:
        """Define one dataset in the catalogue: a view over its files, or an empty table while it has none."""
        if any((self.root / dataset).glob("*/*.parquet")):
            files = f"{_literal_glob(self.root)}/{dataset}/*/*.parquet"
            # hive_partitioning: a folder named like `run=3` above the data would otherwise become a column.
            source = f"read_parquet({quoted(files)}, hive_partitioning = false)"
            try:
                connection.execute(f"create view {dataset} as select * from {source}")  # noqa: S608
            except duckdb.Error as error:
                raise BadInput(
                    f"{error}.", path=self.root / dataset, remedy="Materialise the scenario of that file again."
                ) from None
            return
        connection.register("no_rows", schema.empty_table())
        connection.execute(f"create table {dataset} as select * from no_rows")  # noqa: S608
        connection.unregister("no_rows")

    def query(self, sql: str) -> pa.Table:
        """Run one query on the catalogue, read-only. Raises BadInput without a catalogue, QueryFailed for bad SQL."""
        with self.connect() as connection:
            try:
                relation = connection.sql(sql)
                if relation is None:
                    raise QueryFailed(f"The query gives no rows.\nTables: {', '.join(SCHEMAS)}")
                return relation.to_arrow_table()
            except duckdb.Error as error:
                raise QueryFailed(f"{error}\nTables: {', '.join(SCHEMAS)}") from None

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return a connection on which every dataset is a read-only table. Raises BadInput without a catalogue."""
        if not self.catalogue_path.is_file():
            raise BadInput(
                "no catalogue.", path=self.catalogue_path, remedy="Run `make parity`, or materialise a scenario."
            )
        # Attached, not connected to: DuckDB keeps one instance per path and process, so as long as anybody here has the
        # catalogue open, a new connection would be given the one from before the swap.
        connection = duckdb.connect()
        try:
            connection.execute(f"attach {quoted(str(self.catalogue_path))} as warehouse (read_only)")
            connection.execute("use warehouse")
            connection.execute("set timezone = 'UTC'")  # else instants are shown in the machine's own zone
        except duckdb.Error as error:
            connection.close()
            raise QueryFailed(f"{error}\nTables: {', '.join(SCHEMAS)}") from None
        return connection


def quoted(text: str) -> str:
    """Return text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _literal_glob(folder: Path) -> str:
    """Return a pattern that matches this folder alone, whatever characters its name has."""
    return re.sub(r"([*?\[])", r"[\1]", str(folder))


# What may be in a column, by Arrow type. Arrow itself would cut 1.5 to 1, take 5 for a time and True for 1.0.
_FITS: dict[pa.DataType, Callable[[object], bool]] = {
    pa.string(): lambda value: isinstance(value, str),
    pa.binary(): lambda value: isinstance(value, bytes),
    pa.int32(): lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    pa.int64(): lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    pa.float64(): lambda value: isinstance(value, Real) and not isinstance(value, bool),
    TIMESTAMP: lambda value: isinstance(value, datetime) and value.utcoffset() is not None,
}


def _table(schema: pa.Schema, rows: Sequence[Row], path: Path) -> pa.Table:
    """Return rows as a table of exactly this schema."""
    for number, row in enumerate(rows):
        for name in row:
            if name not in schema.names:
                raise BadInput(
                    f"row {number} has a column that is not declared.",
                    path=path,
                    field=name,
                    remedy=did_you_mean(name, schema.names),
                )
        for field in schema:
            value = row.get(field.name)
            if value is None and not field.nullable:
                raise BadInput(f"row {number} has no value for a column that needs one.", path=path, field=field.name)
            if value is not None and not _FITS[field.type](value):
                found = type(value).__name__
                raise BadInput(f"row {number}: a {found} does not fit {field.type}.", path=path, field=field.name)
    arrays = []
    for field in schema:
        try:
            arrays.append(pa.array([row.get(field.name) for row in rows], type=field.type))
        except (ValueError, TypeError, OverflowError) as error:  # Arrow's own errors are ValueErrors and TypeErrors
            raise BadInput(f"does not fit {field.type}: {error}.", path=path, field=field.name) from None
    return pa.Table.from_arrays(arrays, schema=schema)
