"""This module names the places of data: a folder of this machine, or a prefix of a bucket on object storage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cj_pipeline.foundation.errors import BadInput

if TYPE_CHECKING:
    from typing_extensions import TypeIs
    from upath import UPath

# As text: upath and what it imports are needed for object storage alone.
DataPath: TypeAlias = "Path | UPath"
"""A place that is read and written by the same calls wherever it is."""

S3_SCHEME = "s3://"


def is_s3(address: str) -> bool:
    """Return whether an address is one on object storage."""
    return address.startswith(S3_SCHEME)


def is_remote(place: DataPath) -> TypeIs[UPath]:
    """Return whether a place is on object storage."""
    return not isinstance(place, Path)


def matching(folder: DataPath, pattern: str) -> list[DataPath]:
    """Return what matches a pattern below a folder, sorted; nothing where there is no such folder."""
    return sorted(folder.glob(pattern), key=str)


def local_only(path: Path, field: str) -> Path:
    """Return a path of this machine. Raises BadInput for one on object storage, which would become a folder `s3:`."""
    if str(path).startswith(S3_SCHEME.removesuffix("/")):
        raise BadInput(
            f"'{path}' is on object storage, and this is kept on the machine.",
            path="environment",
            field=field,
            remedy="Name a folder of this machine; only CJ_PIPELINE_DATA_DIR may be s3://BUCKET/PREFIX.",
        )
    return path
