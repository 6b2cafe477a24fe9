"""What is written past the page cache is what was given, whatever its length and whatever the file system can."""

from __future__ import annotations

import errno
import os
from mmap import mmap
from pathlib import Path

import pytest

from cj_pipeline.traces.capture import block_file
from cj_pipeline.traces.capture.block_file import BlockFile

SIZES = [0, 1, 4095, 4096, 4097, 65_536, 65_536 + 4096 + 17]


def blocks(size: int, of: int = 8192) -> list[memoryview]:
    """So many bytes, no two blocks of them equal."""
    content = b"".join(n.to_bytes(4, "big") for n in range(size // 4 + 1))[:size]
    made = []
    for start in range(0, size, of):
        block = memoryview(mmap(-1, of))
        part = content[start : start + of]
        block[: len(part)] = part
        made.append(block[: len(part)])
    return made


def written(path: Path, parts: list[memoryview]) -> bytes:
    with BlockFile(path, sum(map(len, parts))) as file:
        for part in parts:
            file.write(part)
    return path.read_bytes()


@pytest.mark.parametrize("large", [0, 1 << 60])
@pytest.mark.parametrize("size", SIZES)
def test_every_byte_is_there_with_and_without_the_cache(
    size: int, large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_file, "LARGE_BYTES", large)
    parts = blocks(size)
    assert written(tmp_path / "file", parts) == b"".join(parts)


def test_a_file_that_is_there_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_file, "LARGE_BYTES", 0)
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    assert written(tmp_path / "file", blocks(5000)) == b"".join(blocks(5000))


@pytest.mark.parametrize("refusing", ["open", "write"])
def test_a_file_system_that_cannot_is_written_to_all_the_same(
    refusing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_file, "LARGE_BYTES", 0)
    original = getattr(os, refusing)
    refused: list[int] = []

    def refuse_once(*arguments: object) -> object:
        if not refused:
            refused.append(errno.EINVAL)
            raise OSError(errno.EINVAL, "Invalid argument")
        return original(*arguments)

    monkeypatch.setattr(block_file.os, refusing, refuse_once)
    parts = blocks(20_000)
    with BlockFile(tmp_path / "file", 20_000) as file:
        for part in parts:
            file.write(part)
    monkeypatch.undo()
    assert refused
    assert (tmp_path / "file").read_bytes() == b"".join(parts)


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_file, "LARGE_BYTES", 0)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with BlockFile(tmp_path / "file", 8192) as file:
        monkeypatch.setattr(block_file.os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            file.write(blocks(8192)[0])
