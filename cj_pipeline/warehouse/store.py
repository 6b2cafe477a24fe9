"""This module opens the data folder: the folders of runs, what is published, and the DuckDB catalogue over it.

Parquet is the record. The catalogue is derived: views with absolute paths, built beside and swapped in, opened
read-only by everyone else (a DuckDB writer shuts out even readers).
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from contextlib import suppress
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

import duckdb
import pyarrow as pa

from cj_pipeline.foundation.data_path import DataPath, is_remote
from cj_pipeline.foundation.disk import disk_error_in
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.foundation.versions import NewerVersion
from cj_pipeline.warehouse.catalogue import (
    CATALOGUE_FILE,
    can_be_read,
    define,
    define_dataset,
    define_version,
    is_current,
    literal_glob,
    quoted,
)
from cj_pipeline.warehouse.data_root import for_each
from cj_pipeline.warehouse.files import read_whole, replace_whole
from cj_pipeline.warehouse.history import complete_history, history_files, read_history
from cj_pipeline.warehouse.parts import PartFile
from cj_pipeline.warehouse.pointers import Pointer, pointer_files, pointer_of, pointers, readable_pointers
from cj_pipeline.warehouse.run_folder import RUNS_FOLDER, RunFolder
from cj_pipeline.warehouse.schemas import HISTORY, HISTORY_SCHEMA, SCHEMAS

_BAD_SQL = (duckdb.CatalogException, duckdb.ParserException, duckdb.BinderException, duckdb.SyntaxException)


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

    def sound(self, known: Collection[str] = ()) -> tuple[tuple[Pointer, ...], list[str]]:
        """Return the published runs of which every part says who made it, and a sentence for each damaged file.

        known: see `pointers`. One scenario's damage is no reason to lose sight of the others. Raises NewerVersion.
        """
        there, problems = readable_pointers(self.root, known)
        found, damaged = self._files(there)
        return tuple(pointer for pointer, _ in found), [*problems, *damaged]

    def _files(self, published: tuple[Pointer, ...]) -> tuple[list[tuple[Pointer, list[PartFile]]], list[str]]:
        """Return the files of the published runs that `sound` gives, and a sentence for each damaged one."""
        found, damaged = [], []
        for pointer in published:
            run = self.run(pointer.run_id, pointer.scenario_id)
            try:
                files = for_each(self.root, lambda one: run.file(*one)[0], run.parts())  # noqa: B023
            except NewerVersion:
                raise
            except BadInput as problem:
                damaged.append(str(problem))
            else:
                found.append((pointer, files))
        return found, damaged

    def damage(self) -> list[str]:
        """Return a sentence for each file of published runs and their history that cannot be read to its end."""
        found, problems = readable_pointers(self.root)
        for pointer in found:
            run = self.run(pointer.run_id, pointer.scenario_id)
            reads = [partial(run.read_columns, *one) for one in run.parts()]
            for read in (*reads, partial(read_history, self.root, pointer.scenario_id)):
                try:
                    read()
                except (BadInput, OSError) as problem:
                    problems.append(str(problem))
        return problems

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

        known: see `pointers`. A run with a damaged file is left out (`sound` names it). Raises DiskError, and BadInput
        where DuckDB cannot make it, or a newer program wrote a file (NewerVersion); the old catalogue then stays.
        """
        while True:
            there, problems = readable_pointers(self.root, known)
            found, damaged = self._files(there)
            left_out = [*problems, *damaged]
            replace_whole(self.catalogue_path, lambda temporary: self._build(temporary, found, left_out))  # noqa: B023
            # Another run may have published and swapped in its own meanwhile: the last one to swap has seen them all.
            if readable_pointers(self.root, known)[0] == there:
                return self.catalogue_path

    def _build(self, path: Path, found: list[tuple[Pointer, list[PartFile]]], left_out: list[str]) -> None:
        catalogue = self.catalogue_path
        log = path.with_name(f"{path.name}.wal")
        try:
            self._define_all(path, found, left_out)
        except duckdb.Error as error:
            problem = f"the catalogue cannot be made: {error}"
            raise disk_error_in(str(error), path if is_remote(catalogue) else catalogue) or BadInput(
                problem, path=catalogue, remedy="What is published is not changed by this."
            ) from None
        finally:
            with suppress(OSError):
                log.unlink()  # DuckDB leaves it where the disk is full

    def _define_all(self, path: Path, found: list[tuple[Pointer, list[PartFile]]], left_out: list[str]) -> None:
        by_dataset: dict[str, list[PartFile]] = {dataset: [] for dataset in SCHEMAS}
        for _, files in found:
            for file in files:
                by_dataset[file.dataset].append(file)
        with duckdb.connect(str(path)) as connection:
            self._let_read(connection)
            define_version(connection, self.root, left_out)
            for dataset, made in by_dataset.items():
                try:
                    define_dataset(connection, dataset, made)
                except duckdb.Error:  # DuckDB reads more of a file than Arrow has until here
                    define_dataset(connection, dataset, [part for part in made if can_be_read(connection, part.path)])
            for pointer, _ in found:
                complete_history(self.root, pointer.scenario_id)
            # By folder: there is a file for each night.
            past = history_files(self.root, [pointer.scenario_id for pointer, _ in found])
            patterns = [f"{literal_glob(folder)}/*.parquet" for folder in sorted({path.parent for path in past})]
            try:
                define(connection, HISTORY, HISTORY_SCHEMA, {(): patterns} if patterns else {})
            except duckdb.Error:  # one that is damaged, and `damage` names, is left out alone
                whole = [literal_glob(path) for path in past if can_be_read(connection, path)]
                define(connection, HISTORY, HISTORY_SCHEMA, {(): whole} if whole else {})
            # Closing writes the views as well, and says nothing where there is no room: the catalogue is then empty.
            connection.execute("checkpoint")

    def _let_read(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read where the datasets are; of a folder it can by itself."""
        if is_remote(self.root):
            connection.register_filesystem(self.root.fs)

    def query(self, sql: str) -> pa.Table:
        """Run one query on the catalogue, read-only. Raises BadInput without a catalogue, QueryFailed for bad SQL."""
        with self.connect() as connection:
            try:
                relation = connection.sql(sql)
                if relation is None:
                    raise QueryFailed(f"The query gives no rows.\nTables: {', '.join((*SCHEMAS, HISTORY))}")
                return relation.to_arrow_table()
            except duckdb.Error as error:
                raise self.query_failed(error) from None

    def query_failed(self, error: Exception) -> QueryFailed:
        """Return the error of a query in DuckDB's words, with the tables there are and the files that are damaged."""
        moved = "Was the data folder moved? Materialise a scenario: the catalogue is then made again."
        hints = [moved] if isinstance(error, duckdb.PermissionException | duckdb.IOException) else []
        if not isinstance(error, _BAD_SQL):  # which is no reason to read all files
            hints += self.damage()
        return QueryFailed("\n".join([str(error), *hints, f"Tables: {', '.join((*SCHEMAS, HISTORY))}"]))

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return a connection on which every dataset is a read-only table.

        A catalogue of an older version, from before the folder moved, or before a run was published, is made again.
        Raises BadInput without a catalogue, and NewerVersion.
        """
        catalogue = self.catalogue_here()
        current = is_current(catalogue, self.root)
        if not current or self._is_behind():
            known = [path.parent.name for path in PipelineSettings().traces_dir.glob("*/scenario.yaml")]
            try:
                self.rebuild_catalogue(known)
            except OSError as error:
                if not current:
                    raise BadInput(
                        f"is of an older version or another folder, and cannot be made again here ({error.strerror}).",
                        path=self.catalogue_path,
                        remedy="Run `cj-pipeline warehouse migrate` as somebody who may write there.",
                    ) from None
            catalogue = self.catalogue_here()
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
            raise QueryFailed(
                f"{self.catalogue_path}: is damaged, or is no catalogue ({error}). Materialise a scenario: it is then "
                "made again of what is stored."
            ) from None
        return connection

    def _is_behind(self) -> bool:
        """Return whether a run was published after the catalogue was made: its publisher broke off in between.

        Of a folder; what it costs to ask object storage at each query is more than it is worth.
        """
        if is_remote(self.root):
            return False
        made = self.catalogue_path.stat().st_mtime_ns
        return any(path.lstat().st_mtime_ns > made for path in pointer_files(self.root))

    def catalogue_here(self) -> Path:
        """Return the catalogue as a file of this machine: a copy where it is an object, one for each version of it.

        Raises BadInput where there is none.
        """
        path = self.catalogue_path
        try:
            if is_remote(path):
                content = read_whole(path)
                copy = Path(_copies().name) / f"{sha256(content).hexdigest()}.duckdb"
                return copy if copy.is_file() else replace_whole(copy, lambda temporary: temporary.write_bytes(content))
            if path.is_file():
                return path
        except FileNotFoundError:
            pass
        raise BadInput("no catalogue.", path=path, remedy="Run `make parity`, or materialise a scenario.")


@cache
def _copies() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="cj-pipeline-")  # removed when the process ends
