"""This module makes Arrow tables of rows, and names the row and column that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from numbers import Integral, Real
from typing import Any

import pyarrow as pa

from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.warehouse.schemas import TIMESTAMP

Row = Mapping[str, Any]

# What may be in a column, by Arrow type. Arrow itself would cut 1.5 to 1, take 5 for a time and True for 1.0.
_FITS: dict[pa.DataType, Callable[[object], bool]] = {
    pa.string(): lambda value: isinstance(value, str),
    pa.binary(): lambda value: isinstance(value, bytes),
    pa.bool_(): lambda value: isinstance(value, bool),
    pa.int32(): lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    pa.int64(): lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    pa.float64(): lambda value: isinstance(value, Real) and not isinstance(value, bool),
    TIMESTAMP: lambda value: isinstance(value, datetime) and value.utcoffset() is not None,
}


def table_of(schema: pa.Schema, rows: Sequence[Row], path: DataPath, constant: Row) -> pa.Table:
    """Return rows as a table of exactly this schema. constant: columns that are the same in every row.

    Raises BadInput naming the column.
    """
    varying = [field for field in schema if field.name not in constant]
    names = [field.name for field in varying]
    for number, row in enumerate(rows):
        for name in row:
            if name not in names:
                raise BadInput(
                    f"row {number} has a column that is not declared.",
                    path=path,
                    field=name,
                    remedy=did_you_mean(name, names),
                )
        for field in varying:
            value = row.get(field.name)
            if value is None and not field.nullable:
                raise BadInput(f"row {number} has no value for a column that needs one.", path=path, field=field.name)
            if value is not None and not _FITS[field.type](value):
                found = type(value).__name__
                raise BadInput(f"row {number}: a {found} does not fit {field.type}.", path=path, field=field.name)
    arrays = []
    for field in schema:
        if field.name in constant:
            arrays.append(pa.repeat(pa.scalar(constant[field.name], field.type), len(rows)))
            continue
        try:
            arrays.append(pa.array([row.get(field.name) for row in rows], type=field.type))
        except (ValueError, TypeError, OverflowError) as error:  # Arrow's own errors are ValueErrors and TypeErrors
            raise BadInput(f"does not fit {field.type}: {error}.", path=path, field=field.name) from None
    return pa.Table.from_arrays(arrays, schema=schema)
