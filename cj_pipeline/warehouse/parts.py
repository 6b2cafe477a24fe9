"""This module writes and reads the Parquet file of one part of a run, in the version that it was written in.

Version 1 says nothing of its version and may lack the columns in LATER; version 2 has every column of its dataset.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import PART
from cj_pipeline.warehouse.files import readable
from cj_pipeline.warehouse.origin import METADATA_KEY
from cj_pipeline.warehouse.parquet import damage_named
from cj_pipeline.warehouse.schemas import SCHEMAS

VERSION_KEY = b"cj_pipeline_schema"

LATER: Mapping[str, Mapping[str, int | None]] = {
    "judges": {"batch": 0},
    "quarantine": {"batch": 0},
    "alignment": {"standard_error": None},
}
"""By dataset, the columns that some parts of version 1 lack, and what they would say: one recording, no error known."""

REMEDY = "Materialise the whole scenario."


@dataclass(frozen=True, slots=True)
class PartFile:
    """What the end of a part's file says. lacking: columns that it would have today; stamp: as it is stored."""

    path: DataPath
    dataset: str
    version: int
    lacking: tuple[str, ...]
    stamp: bytes

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """Return the part with the columns of today, all by default. Raises BadInput for a damaged file."""
        schema = SCHEMAS[self.dataset]
        with damage_named(self.path, REMEDY), readable(self.path) as source:
            table = pq.read_table(
                source, schema=schema, columns=columns, partitioning=None, page_checksum_verification=True
            )
        for name in self.lacking:
            if name in table.column_names:
                value = pa.scalar(LATER[self.dataset][name], schema.field(name).type)
                place = table.column_names.index(name)
                table = table.set_column(place, schema.field(name), pa.repeat(value, len(table)))
        return table


def part_file(path: DataPath, dataset: str) -> PartFile:
    """Return what a part says of itself, without its rows.

    Raises NewerVersion, and BadInput for what is no Parquet file, no part of a run, or has not the dataset's columns.
    """
    with damage_named(path, REMEDY), readable(path) as source:
        found = pq.read_schema(source)
    try:
        stamp = (found.metadata or {})[METADATA_KEY]
        mark = json.loads((found.metadata or {}).get(VERSION_KEY, b"null"))
    except (KeyError, ValueError):
        raise BadInput("does not say which run made it.", path=path, remedy=REMEDY) from None
    version = PART.known(mark, path)
    wanted = SCHEMAS[dataset]
    if found.equals(wanted):
        return PartFile(path, dataset, version, (), stamp)
    lacking = tuple(name for name in wanted.names if name not in found.names)
    allowed = LATER.get(dataset, {}) if version == 1 else {}
    unknown = [one.name for one in found if one.name not in wanted.names or one.type != wanted.field(one.name).type]
    wrong = [*unknown, *(name for name in lacking if name not in allowed)]
    if wrong:
        problem = f"has not the columns of a part of {dataset}."
        raise BadInput(problem, path=path, field=wrong[0], remedy=REMEDY)
    return PartFile(path, dataset, version, lacking, stamp)


def metadata(stamp: bytes | str) -> dict[bytes | str, Any]:
    """Return the metadata of a part in the version of today."""
    return {METADATA_KEY: stamp, VERSION_KEY: str(PART.version)}
