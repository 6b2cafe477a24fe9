"""This module opens the place of the datasets: a folder of this machine, or a prefix of a bucket on object storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from cj_pipeline.foundation.data_path import S3_SCHEME, DataPath, is_remote, is_s3
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.settings import PipelineSettings

REQUESTS_AT_ONCE = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


def data_root(address: str | None = None) -> DataPath:
    """Return the place of the datasets, `CJ_PIPELINE_DATA_DIR` unless another address is given.

    Raises BadInput for an address that is no bucket, CjPipelineError where object storage is not installed.
    """
    settings = PipelineSettings()
    place = settings.data_address if address is None else address
    if not is_s3(place):
        return Path(place)
    bucket, *prefix = place.removeprefix(S3_SCHEME).split("/")
    # Prefixes are looked for by patterns; nothing good comes of one that is a pattern itself.
    if not bucket or ".." in prefix or any(character in place for character in "*?[]#"):
        raise BadInput(
            f"'{place}' names no bucket, or has one of `* ? [ ] # ..`.",
            path="environment",
            field="CJ_PIPELINE_DATA_DIR",
            remedy="Write it as s3://BUCKET/PREFIX.",
        )
    try:
        from cj_pipeline.warehouse.object_storage import open_prefix
    except ModuleNotFoundError as error:
        raise CjPipelineError(
            f"{error}. Data on object storage needs s3fs: `make s3`, or install cj-pipeline[s3]."
        ) from None
    return open_prefix(place.rstrip("/"), settings.storage_timeout_s)


def local_folder(root: DataPath) -> Path:
    """Return the folder for what stays on this machine: the data folder itself where that is one."""
    return root if isinstance(root, Path) else PipelineSettings().data_dir.absolute()


def for_each(root: DataPath, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return what a function gives for each item, in order; several at once where each waits for a server."""
    if not is_remote(root):
        return [function(item) for item in items]
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        return list(pool.map(function, items))
