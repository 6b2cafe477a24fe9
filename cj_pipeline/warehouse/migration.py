"""This module brings the files of a data folder to the version of today: the parts of runs, and the catalogue.

A part is read, written beside itself, read again, and renamed over the old one: whoever is killed, and however many do
it at once, each file is the old one or the new one, and both are read. Files that are replaced in the course of work
(pointers, messages, drafts) are left to that: a migration beside a run could put an older one back.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cj_pipeline.foundation.data_path import is_remote, matching
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import PART
from cj_pipeline.foundation.versions import NewerVersion
from cj_pipeline.warehouse.catalogue import is_current
from cj_pipeline.warehouse.files import is_there, replace_whole
from cj_pipeline.warehouse.history import check_history
from cj_pipeline.warehouse.parts import PartFile, metadata, part_file
from cj_pipeline.warehouse.pointers import pointer_problems
from cj_pipeline.warehouse.run_folder import RUNS_FOLDER
from cj_pipeline.warehouse.schemas import SCHEMAS
from cj_pipeline.warehouse.store import Warehouse


@dataclass(frozen=True, slots=True)
class Migration:
    """What there is to do in a data folder.

    parts: of an older version; current: how many parts are of today's; catalogue: whether it is to be made again;
    problems: a sentence about each file that cannot be used.
    """

    parts: tuple[PartFile, ...]
    current: int
    catalogue: bool
    problems: tuple[str, ...]


def planned(warehouse: Warehouse) -> Migration:
    """Look at every file of a data folder, and change nothing. Raises NewerVersion for one of a newer program."""
    found: list[PartFile] = []
    problems = [*pointer_problems(warehouse.root), *check_history(warehouse.root)]
    for path in matching(warehouse.root / RUNS_FOLDER, "[!.]*/[!.]*/*/[!.]*.parquet"):
        if path.parent.name not in SCHEMAS:
            continue
        try:
            found.append(part_file(path, path.parent.name))
        except NewerVersion:
            raise
        except BadInput as damaged:
            problems.append(str(damaged))
    old = tuple(part for part in found if part.version < PART.version)
    return Migration(old, len(found) - len(old), _is_outdated(warehouse), tuple(problems))


def migrate(warehouse: Warehouse, known: Collection[str] = ()) -> Migration:
    """Bring everything to the version of today, and return what was done and what could not be.

    known: scenarios that exist, beside those whose folder does. Raises NewerVersion, before anything is changed.
    """
    plan = planned(warehouse)
    problems = [*plan.problems]
    done = []
    for part in plan.parts:
        try:
            _rewrite(part)
            done.append(part)
        except FileNotFoundError:
            continue  # its run was pruned meanwhile
        except BadInput as damaged:
            problems.append(str(damaged))
    if plan.catalogue or done or problems:
        try:
            warehouse.rebuild_catalogue(known)
        except BadInput as damaged:
            problems += [] if str(damaged) in problems else [str(damaged)]
    return Migration(tuple(done), plan.current, plan.catalogue, tuple(problems))


def _is_outdated(warehouse: Warehouse) -> bool:
    if not is_there(warehouse.catalogue_path):
        return False
    try:
        return not is_current(warehouse.catalogue_here(), warehouse.root)
    except NewerVersion:
        raise
    except BadInput:
        return True  # what DuckDB does not open is made again


def _rewrite(part: PartFile) -> None:
    # An object has the time of its writing, and no other.
    times = None if is_remote(part.path) else part.path.stat()
    part = part_file(part.path, part.dataset)
    if part.version == PART.version:  # its run went on meanwhile
        return
    table = part.read().replace_schema_metadata(metadata(part.stamp))

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            pq.write_table(table, file, compression="zstd", write_page_checksum=True)
            file.flush()
            os.fsync(file.fileno())
        if not _same(pq.read_table(temporary, partitioning=None), table):
            raise BadInput("was not written as it was read.", path=part.path, remedy="Look at the disk; try again.")
        if times is not None:
            if part.path.stat().st_mtime_ns != times.st_mtime_ns:
                raise BadInput("was written meanwhile.", path=part.path, remedy="Try again when its run is over.")
            os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))  # `prune` keeps the newest runs

    replace_whole(part.path, write)


def _same(one: pa.Table, other: pa.Table) -> bool:
    return bool(one.schema.equals(other.schema) and one.equals(other))
