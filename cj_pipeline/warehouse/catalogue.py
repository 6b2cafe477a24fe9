"""This module makes and opens the DuckDB catalogue: a view of each dataset over the files of published runs.

It is derived: a catalogue of an older version, or of a folder that has moved since, is made again from the parts. Its
table `catalogue.version` says which version it is and of which folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import duckdb
import pyarrow as pa

from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import CATALOGUE
from cj_pipeline.warehouse.parts import LATER, REMEDY, PartFile
from cj_pipeline.warehouse.schemas import SCHEMAS

CATALOGUE_FILE = "warehouse.duckdb"

_MADE_AGAIN = "Run `cj-pipeline warehouse migrate`, which makes it again."


def define_version(connection: duckdb.DuckDBPyConnection, root: DataPath, left_out: Iterable[str]) -> None:
    """Write down which version a new catalogue is, of which folder, and a sentence for each file that is not in it."""
    connection.execute("create schema catalogue")
    connection.execute("create table catalogue.version (version integer, root varchar)")
    connection.execute("insert into catalogue.version values (?, ?)", [CATALOGUE.version, str(root)])
    connection.execute("create table catalogue.left_out (problem varchar)")
    for problem in left_out:
        connection.execute("insert into catalogue.left_out values (?)", [problem])


def define_dataset(connection: duckdb.DuckDBPyConnection, dataset: str, parts: Sequence[PartFile]) -> None:
    """Define one dataset: a view over its parts, or an empty table while it has none."""
    alike = groupby(sorted(parts, key=lambda part: part.lacking), key=lambda part: part.lacking)
    sources = {lacking: [literal_glob(part.path) for part in group] for lacking, group in alike}
    define(connection, dataset, SCHEMAS[dataset], sources)


def can_be_read(connection: duckdb.DuckDBPyConnection, path: DataPath) -> bool:
    """Return whether DuckDB opens a file; one that it does not is noted as left out."""
    try:
        connection.execute(f"describe select * from read_parquet({quoted(literal_glob(path))})")  # noqa: S608
    except duckdb.Error:
        problem = f"{path}: is damaged, or is no Parquet file. {REMEDY}"
        connection.execute("insert into catalogue.left_out values (?)", [problem])
        return False
    return True


def define(
    connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema, sources: Mapping[tuple[str, ...], list[str]]
) -> None:
    """Define a view over files, or an empty table where there are none.

    sources: patterns of DuckDB by the columns that the files lack.
    """
    if sources:
        # By name: the columns that came later are the last ones of old files.
        selects = [_select(name, schema, lacking, patterns) for lacking, patterns in sources.items()]
        connection.execute(f"create view {name} as {' union all by name '.join(selects)}")
        return
    connection.register("no_rows", schema.empty_table())
    connection.execute(f"create table {name} as select * from no_rows")  # noqa: S608
    connection.unregister("no_rows")


def _select(name: str, schema: pa.Schema, lacking: Collection[str], patterns: Iterable[str]) -> str:
    listed = ", ".join(quoted(pattern) for pattern in patterns)
    # hive_partitioning: a folder named like `run=3` above the data would otherwise become a column.
    source = f"read_parquet([{listed}], hive_partitioning = false)"
    if not lacking:
        return f"select * from {source}"  # noqa: S608
    columns = [_value(name, field) if field.name in lacking else f'"{field.name}"' for field in schema]
    return f"select {', '.join(columns)} from {source}"  # noqa: S608


def _value(name: str, field: pa.Field) -> str:
    value = LATER[name][field.name]
    kind = {pa.int32(): "integer", pa.float64(): "double"}[field.type]
    return f'cast({"null" if value is None else value} as {kind}) as "{field.name}"'


def is_current(path: Path, root: DataPath) -> bool:
    """Return whether a catalogue is of this version and of this folder.

    Raises NewerVersion, and BadInput for a file that DuckDB does not open.
    """
    try:
        with duckdb.connect() as connection:
            connection.execute(f"attach {quoted(str(path))} as found (read_only)")
            known = connection.execute(
                "select count(*) from duckdb_tables() "
                "where database_name = 'found' and schema_name = 'catalogue' and table_name = 'version'"
            ).fetchone()
            if known == (0,):
                return False
            found = connection.execute("select version, root from found.catalogue.version").fetchone()
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise BadInput(f"cannot be opened ({reason}).", path=path, remedy=_MADE_AGAIN) from None
    return found is not None and CATALOGUE.known(found[0], path) == CATALOGUE.version and found[1] == str(root)


def quoted(text: str) -> str:
    """Return text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def literal_glob(path: DataPath) -> str:
    """Return a pattern that matches this path alone, whatever characters its name has."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))
