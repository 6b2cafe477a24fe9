"""This module reads and writes object storage by the S3 API, and says plainly what is wrong with it.

It is imported for data on s3:// alone. Nothing is locked and nothing renamed: an object is replaced whole by one
request, or by a conditional one, which the server refuses when another was faster.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import fsspec
import s3fs
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from fsspec.asyn import sync, sync_wrapper
from upath import UPath

from cj_pipeline.foundation.errors import BadInput, CjPipelineError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONNECT_TIMEOUT_S = 5.0
ATTEMPTS = 3
"""Of one request, by botocore, which waits between them and tries again what may help: 500, 503, no connection."""

_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_NO_BUCKET = {"NoSuchBucket"}


class StorageFailed(CjPipelineError):
    """Object storage that did not do what was asked, with the place and what to do about it."""


class ObjectChanged(StorageFailed):
    """Another writer was faster: an object is no longer the one that a conditional request names."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place}: was replaced meanwhile. Ask again.")


class ObjectStorage(s3fs.S3FileSystem):
    """The file system of s3fs, with a limit on the time of each request and errors that name place and remedy."""

    retries = 1  # botocore tries again already
    limit_s = 60.0

    async def _call_s3(self, method: str, *arguments: Any, **named: Any) -> Any:
        try:
            return await asyncio.wait_for(self._answered(method, *arguments, **named), self.limit_s)
        except (FileNotFoundError, FileExistsError) as error:
            if _code(error) in _NO_BUCKET:
                raise StorageFailed(f"{_place(named)}: there is no such bucket. Make it, or name another.") from None
            if _code(error) in _CHANGED:
                raise ObjectChanged(_place(named)) from None
            raise
        except TimeoutError:
            problem = f"no answer to {method} within {self.limit_s:g} s"
            raise StorageFailed(f"{_place(named)}: {problem}. {_REACH}") from None
        except (OSError, BotoCoreError, ClientError) as error:
            if _code(error) in _CHANGED:
                raise ObjectChanged(_place(named)) from None
            raise StorageFailed(f"{_place(named)}: {_in_words(method, error)}") from None

    async def _answered(self, method: str, *arguments: Any, **named: Any) -> Any:
        answer = await super()._call_s3(method, *arguments, **named)
        if method == "get_object":  # here, so that the limit is one on its bytes too
            answer["Body"] = _Body(await answer["Body"].read())
        return answer

    call_s3 = sync_wrapper(_call_s3)  # s3fs's own calls its own


class _Body:
    """The bytes of an object, as s3fs reads them."""

    def __init__(self, content: bytes) -> None:
        self._rest = content

    async def read(self, size: int = -1) -> bytes:
        wanted = len(self._rest) if size < 0 else size
        found, self._rest = self._rest[:wanted], self._rest[wanted:]
        return found

    def close(self) -> None:
        self._rest = b""


def open_prefix(url: str, limit_s: float) -> UPath:
    """Return a prefix of a bucket as a path. Endpoint, region and keys come from the usual AWS_* variables."""
    fsspec.register_implementation("s3", ObjectStorage, clobber=True)
    endpoint = _endpoint()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    options: dict[str, Any] = {
        "use_listings_cache": False,  # other machines write too
        "client_kwargs": {"region_name": region or "us-east-1"} | ({"endpoint_url": endpoint} if endpoint else {}),
        "config_kwargs": {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": limit_s,
            "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
        },
    }
    path: UPath = UPath(url, **options)
    path.fs.limit_s = limit_s  # all paths below this one have the same file system
    return path


def _endpoint() -> str:
    """Return the URL of a server that is not Amazon's; empty where none is set. Raises BadInput for what is no URL."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(name, ""):
            try:
                parts = urlsplit(url)
                usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
            except ValueError:
                usable = False
            if not usable:
                raise BadInput("is no URL.", path="environment", field=name, remedy="Write https://HOST[:PORT].")
            return url
    return ""


def upload(path: UPath, source: Path) -> None:
    """Make an object of a file; readers see the old object or the new one."""
    path.fs.put_file(str(source), path.path)


def exists(path: UPath) -> bool:
    """Return whether there is such an object, by one request."""
    bucket, key, _ = path.fs.split_path(path.path)
    try:
        path.fs.call_s3("head_object", Bucket=bucket, Key=key)
    except FileNotFoundError:
        return False
    return True


def read_versioned(path: UPath) -> tuple[bytes, str] | None:
    """Return an object and what names this version of it (its ETag), by one request; None where there is none."""
    bucket, key, _ = path.fs.split_path(path.path)
    try:
        answer = path.fs.call_s3("get_object", Bucket=bucket, Key=key)
    except FileNotFoundError:
        return None
    content = sync(path.fs.loop, answer["Body"].read)
    return content, answer["ETag"]


def put_if(path: UPath, content: bytes, version: str | None) -> bool:
    """Replace an object that is still this version of it, or make one that is not there (None).

    Return whether the object is the new one now; where it is not, another writer was faster.
    """
    condition: Mapping[str, str] = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
    try:
        path.fs.pipe_file(path.path, content, **condition)
    except (ObjectChanged, FileNotFoundError):  # not found: what was to be replaced has been removed
        # A request whose answer got lost is sent again, and is then refused for its own success.
        found = read_versioned(path)
        return found is not None and found[0] == content
    return True


_REACH = "Look at AWS_ENDPOINT_URL_S3, and whether the server runs."


def _in_words(method: str, error: Exception) -> str:
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return "no keys. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
    words = " ".join(str(error).split())
    if isinstance(error, PermissionError):
        return f"{method} is forbidden ({words}). Look at the keys (AWS_ACCESS_KEY_ID) and what they may do."
    if isinstance(error, BotoCoreError):
        return f"{method} failed: {words} {_REACH}"
    return f"{method} failed: {words}."


def _place(named: Mapping[str, Any]) -> str:
    return f"s3://{named.get('Bucket', '')}/{named.get('Key') or named.get('Prefix') or ''}"


def _code(error: BaseException) -> str:
    """Return the server's own code of an error that s3fs has translated."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ClientError):
        found = found.__cause__
    return "" if found is None else str(found.response.get("Error", {}).get("Code", ""))
