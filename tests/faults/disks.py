"""This module gives tests a disk that is small, that can be filled and emptied, and that can be read only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

FILLING = ".filling"


@dataclass(frozen=True)
class Disk:
    """A file system of its own, in memory."""

    path: Path

    def fill(self, left: int = 0) -> None:
        """Take all space but for `left` bytes."""
        free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize
        with (self.path / FILLING).open("ab", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - left))

    def make_room(self) -> None:
        (self.path / FILLING).unlink()

    def remount(self, how: str) -> None:
        """how: `ro` or `rw`."""
        _mount("-o", f"remount,{how}", self.path)

    def left_over(self) -> list[str]:
        """What a writer made for itself and did not take away."""
        hidden = (path.name for path in self.path.rglob(".*") if path.is_file())
        return [name for name in hidden if name != FILLING and not name.endswith(".lock")]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Disk]:
    """A disk of that size at a folder, which is made; as `mount` writes sizes."""
    folder.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@cache
def cannot_mount() -> bool:
    """Whether this user may mount nothing: in a container without the right to it, or not root."""
    with TemporaryDirectory() as folder:
        try:
            _mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", folder)
        except (OSError, subprocess.CalledProcessError):
            return True
        subprocess.run(["umount", folder], check=True)
    return False


def _mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


needs_mount = pytest.mark.skipif("cannot_mount()", reason="no right to mount a disk in memory here (run as root)")
