"""This module opens the data folder: the folders of runs, what is published, and the DuckDB catalogue over it.

Parquet is the record. The catalogue is derived: views with absolute paths, built beside and swapped in, opened
read-only by everyone else (a DuckDB writer shuts out even readers).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
from functools import cache
from hashlib import sha256
from pathlib import Path

import duckdb
import pyarrow as pa

from cj_pipeline.foundation.data_path import DataPath, is_remote
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.warehouse.data_root import for_each
from cj_pipeline.warehouse.files import read_whole, replace_whole
from cj_pipeline.warehouse.history import complete_history, history_files
from cj_pipeline.warehouse.pointers import Pointer, pointer_of, pointers
from cj_pipeline.warehouse.run_folder import RUNS_FOLDER, RunFolder
from cj_pipeline.warehouse.schemas import HISTORY, HISTORY_SCHEMA, PARTS, SCHEMAS

CATALOGUE_FILE = "warehouse.duckdb"


class QueryFailed(CjPipelineError):
    """A query that DuckDB refused, in DuckDB's words."""


class Warehouse:
    """Datasets below one folder, or one prefix of a bucket."""

    def __init__(self, root: DataPath) -> None:
        self.root = root.absolute()

    @property
    def catalogue_path(self) -> DataPath:
        """Return the path of the DuckDB file."""
        return self.root / CATALOGUE_FILE

    def run(self, run_id: str, scenario_id: str) -> RunFolder:
        """Return the folder of one run of a scenario, whether or not it exists."""
        return RunFolder(self.root, run_id, scenario_id)

    def published(self, known: Collection[str] = ()) -> tuple[Pointer, ...]:
        """Return the published runs of the scenarios that exist. known: see `pointers`."""
        return pointers(self.root, known)

    def published_run(self, scenario_id: str) -> RunFolder:
        """Return the folder of the run of a scenario that people look at. Raises BadInput when there is none."""
        pointer = pointer_of(self.root, scenario_id)
        if pointer is None:
            raise BadInput(
                f"no run of '{scenario_id}' is published.", path=self.root, remedy="Materialise the scenario first."
            )
        return self.run(pointer.run_id, scenario_id)

    def first_edition(self) -> str:
        """Return a sentence about parts in the layout of the first edition, which are ignored; empty without any."""
        if is_remote(self.root):  # the first edition knew folders only
            return ""
        if not any(next((self.root / name).glob("*/*.parquet"), None) for name in SCHEMAS if name != RUNS_FOLDER):
            return ""
        return (
            f"'{self.root}' holds parts as the first edition wrote them, which do not say which run made them and are "
            "ignored; materialise the scenarios again, and remove the old folders"
        )

    def rebuild_catalogue(self, known: Collection[str] = ()) -> DataPath:
        """Write a new catalogue over what is published and exists, and swap it in; open readers keep theirs.

        known: see `pointers`. Raises BadInput naming a file that is no part of its run; the old catalogue then stays.
        """
        while True:
            found = self.published(known)
            replace_whole(self.catalogue_path, lambda temporary: self._build(temporary, found))  # noqa: B023
            # Another run may have published and swapped in its own meanwhile: the last one to swap has seen them all.
            if self.published(known) == found:
                return self.catalogue_path

    def _build(self, path: Path, published: tuple[Pointer, ...]) -> None:
        runs = [self.run(pointer.run_id, pointer.scenario_id) for pointer in published]
        with duckdb.connect(str(path)) as connection:
            self._let_read(connection)
            for dataset, schema in SCHEMAS.items():
                parts = [(run, part) for run in runs for part in PARTS[dataset]]
                there = for_each(self.root, lambda one: self._stamped(one[0], dataset, one[1]), parts)  # noqa: B023
                made = [run.path(dataset, part) for (run, part), is_there in zip(parts, there, strict=True) if is_there]
                files = [_literal_glob(path) for path in made]
                self._define(connection, dataset, schema, files)
            for one in published:
                complete_history(self.root, one.scenario_id)
            # By folder: there is a file for each night.
            past = {path.parent for path in history_files(self.root, [one.scenario_id for one in published])}
            self._define(
                connection, HISTORY, HISTORY_SCHEMA, [f"{_literal_glob(folder)}/*.parquet" for folder in sorted(past)]
            )

    def _stamped(self, run: RunFolder, dataset: str, part: str) -> bool:
        """Return whether a run made a part. Raises BadInput for one of another run: DuckDB sees the first file only."""
        there = run.has(dataset, part)
        if there:
            run.stamp(dataset, part)
        return there

    def _let_read(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read where the datasets are; of a folder it can by itself."""
        if is_remote(self.root):
            connection.register_filesystem(self.root.fs)

    @staticmethod
    def _define(connection: duckdb.DuckDBPyConnection, dataset: str, schema: pa.Schema, files: list[str]) -> None:
        """Define one dataset in the catalogue: a view over its files, or an empty table while it has none.

        files: as patterns of DuckDB.
        """
        if files:
            listed = ", ".join(quoted(pattern) for pattern in files)
            # hive_partitioning: a folder named like `run=3` above the data would otherwise become a column.
            source = f"read_parquet([{listed}], hive_partitioning = false)"
            connection.execute(f"create view {dataset} as select * from {source}")  # noqa: S608
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
                    raise QueryFailed(f"The query gives no rows.\nTables: {', '.join((*SCHEMAS, HISTORY))}")
                return relation.to_arrow_table()
            except duckdb.Error as error:
                raise QueryFailed(f"{error}\nTables: {', '.join((*SCHEMAS, HISTORY))}") from None

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return a connection on which every dataset is a read-only table. Raises BadInput without a catalogue."""
        catalogue = self._catalogue_here()
        # Attached, not connected to: DuckDB keeps one instance per path and process, so as long as anybody here has the
        # catalogue open, a new connection would be given the one from before the swap.
        connection = duckdb.connect()
        try:
            self._let_read(connection)
            connection.execute(f"attach {quoted(str(catalogue))} as warehouse (read_only)")
            connection.execute("use warehouse")
            connection.execute("set timezone = 'UTC'")  # else instants are shown in the machine's own zone
        except duckdb.Error as error:
            connection.close()
            raise QueryFailed(f"{error}\nTables: {', '.join((*SCHEMAS, HISTORY))}") from None
        return connection

    def _catalogue_here(self) -> Path:
        """Return the catalogue as a file of this machine: a copy where it is an object, one for each version of it.

        Raises BadInput where there is none.
        """
        path = self.catalogue_path
        try:
            if is_remote(path):
                content = read_whole(path)
                copy = Path(_copies().name) / f"{sha256(content).hexdigest()}.duckdb"
                return copy if copy.is_file() else replace_whole(copy, lambda temporary: _write(temporary, content))
            if path.is_file():
                return path
        except FileNotFoundError:
            pass
        raise BadInput("no catalogue.", path=path, remedy="Run `make parity`, or materialise a scenario.")


@cache
def _copies() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="cj-pipeline-")  # removed when the process ends


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def quoted(text: str) -> str:
    """Return text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _literal_glob(folder: DataPath) -> str:
    """Return a pattern that matches this folder alone, whatever characters its name has."""
    return re.sub(r"([*?\[])", r"[\1]", str(folder))
