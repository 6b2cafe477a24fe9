"""This module writes and reads Parquet files: whole, with checksums of their pages, and never as another table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.foundation.disk import is_misplaced, is_of_disk
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse.files import readable, replace_whole


def write_parquet(path: DataPath, table: pa.Table) -> DataPath:
    """Write a table whole. Raises DiskError."""
    # Without a checksum, a flipped bit in a page can be another number that reads well.
    return replace_whole(
        path, lambda temporary: pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    )


def read_parquet(path: DataPath, schema: pa.Schema, columns: list[str] | None = None, *, remedy: str) -> pa.Table:
    """Return a table, all its columns by default; one that may be empty, and that the file lacks, is null.

    Raises BadInput for a damaged file, or one of another table.
    """
    with damage_named(path, remedy), readable(path) as source:
        found = pq.read_schema(source)
        for field in schema:
            place = found.get_field_index(field.name)
            if field.nullable if place < 0 else found.field(place).type == field.type:
                continue
            raise BadInput("holds another table than its name says.", path=path, field=field.name, remedy=remedy)
        return pq.read_table(source, schema=schema, columns=columns, partitioning=None, page_checksum_verification=True)


def parquet_metadata(path: DataPath, *, remedy: str) -> Mapping[bytes, bytes]:
    """Return what a file says of itself. Raises BadInput for a damaged file."""
    with damage_named(path, remedy), readable(path) as source:
        return pq.read_schema(source).metadata or {}


@contextmanager
def damage_named(path: DataPath, remedy: str) -> Iterator[None]:
    """Turn what Arrow says of a file that is no Parquet, or a damaged one, or is no file, into a BadInput about it."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        misplaced = isinstance(error, OSError) and is_misplaced(error)
        if isinstance(error, FileNotFoundError) or (is_of_disk(error) and not misplaced):
            raise
        raise BadInput("is damaged, or is no Parquet file.", path=path, remedy=remedy) from None
