"""This module opens files of JSON lines: plain, gzip or zstd, with or without a byte order mark.

It looks at bytes and does not parse JSON.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.input_file import open_input

# A callback has 3 kB, the largest request 1 MiB. A file without a line break would be read into memory as a whole.
MOST_LINE_BYTES = 16 * 2**20

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_SUFFIX = re.compile(r"\.(jsonl|ndjson)(\.(gz|zst))?$", re.IGNORECASE)

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def bare_name(path: Path) -> str:
    """Return a file's name without what says that it holds JSON lines, and how it is compressed."""
    name = _SUFFIX.sub("", path.name)
    return path.stem if name == path.name else name


def read_lines(path: Path, *, utf8: bool = True) -> Iterator[bytes]:
    """Yield every line of a file without its line feed, blank ones too, so that they can be counted.

    utf8: refuse a line that is not UTF-8; otherwise that is left to the caller (see `not_utf8`).
    Raises BadInput for a file that is not there, is UTF-16, is compressed and damaged, or has a line without end.
    """
    number = 0
    try:
        with _opened(path) as file:
            for number, line in enumerate(iter(lambda: file.readline(MOST_LINE_BYTES + 1), b""), start=1):
                if len(line) > MOST_LINE_BYTES:
                    raise BadInput(
                        f"is longer than {MOST_LINE_BYTES // 2**20} MiB.",
                        path=path,
                        line=number,
                        remedy="Each line is one JSON document.",
                    )
                if number == 1:
                    _refuse_utf16(line, path)
                    line = line.removeprefix(BYTE_ORDER_MARK)
                if utf8 and not is_utf8(line):
                    raise not_utf8(path, number)
                yield line.removesuffix(b"\n")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise BadInput("no such file.", path=path) from None
    except (EOFError, zlib.error, gzip.BadGzipFile, _DamagedZstd) as error:
        raise BadInput(
            f"the compressed file is damaged: {error}.", path=path, line=number + 1, remedy="Copy or compress it again."
        ) from None


def not_utf8(path: Path, line: int, encoding: str = "cp1252") -> BadInput:
    """Return the error about a line in another encoding."""
    remedy = f"Save it as UTF-8, for example: iconv -f {encoding} -t utf-8."
    return BadInput("is not UTF-8.", path=path, line=line, remedy=remedy)


class _DamagedZstd(Exception):
    """Arrow's error about zstd that it cannot read, which is a plain OSError."""


class _Zstd(io.RawIOBase):
    """A zstd file as Python's own readers want it."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa  # imported when one is read: it takes a fifth of a second

        self._stream = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            read = self._stream.read(len(buffer))
        except OSError as error:
            raise _DamagedZstd(str(error)) from None
        buffer[: len(read)] = read
        return len(read)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _opened(path: Path) -> BinaryIO:
    """Open a file for reading by what its first bytes are, whatever its name says."""
    file = open_input(path)
    magic = file.peek(4)[:4]
    if not magic.startswith((_GZIP, _ZSTD)):
        return file
    file.close()
    return cast("BinaryIO", gzip.open(path) if magic.startswith(_GZIP) else io.BufferedReader(_Zstd(path), 1 << 20))


def _refuse_utf16(line: bytes, path: Path) -> None:
    if line.startswith(_UTF_16) or b"\x00" in line[:4]:
        raise BadInput(
            "is UTF-16.", path=path, line=1, remedy="Save it as UTF-8, for example: iconv -f utf-16 -t utf-8."
        )


def is_utf8(line: bytes) -> bool:
    """Return whether a line is UTF-8."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
