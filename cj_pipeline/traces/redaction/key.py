"""This module finds, makes and reads the key of pseudonyms: 32 random bytes in a file that only its owner reads.

With the key and a list of names one can tell which pseudonym is whose. So it never lies in a trace folder, which is
there to be handed on. Without the key nobody can: deleting it makes a redaction final.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.input_file import open_input

KEY_BYTES = 32
KEY_FILE = "redaction.key"

# What a folder holds that people hand on.
_TRACE_FILES = ("scenario.yaml", "provenance.json", "SHA256SUMS")


class _KeySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CJ_PIPELINE_REDACTION_", env_ignore_empty=True, frozen=True)

    key_file: Path | None = None


def default_key_file(data_dir: Path) -> Path:
    """Return `CJ_PIPELINE_REDACTION_KEY_FILE`, or `redaction.key` in the data folder."""
    return _KeySettings().key_file or data_dir / KEY_FILE


def key_from(path: Path) -> bytes:
    """Return the key in a file, 32 bytes; made, readable by its owner alone, when there is no such file.

    Raises BadInput: the file lies in a trace folder, others may read it, or it holds no key.
    """
    _refuse_trace_folders(path)
    try:
        return _read(path)
    except FileNotFoundError:
        _make(path)
        return _read(path)


def key_when_used(path: Path) -> bytes | Callable[[], bytes]:
    """Return the key in a file; where there is none, what makes it when the first name is hidden.

    A refused import or redaction leaves no key behind. Raises BadInput as `key_from` does.
    """
    _refuse_trace_folders(path)
    try:
        return _read(path)
    except FileNotFoundError:
        return partial(key_from, path)


def _refuse_trace_folders(path: Path) -> None:
    # Where it lies and where it leads: a link in a trace folder is followed when the folder is packed.
    for folder in (*path.absolute().parents, *path.absolute().resolve().parents):
        if any((folder / name).is_file() for name in _TRACE_FILES):
            raise BadInput(
                "lies in a trace folder, and would be handed on together with what it protects.",
                path=path,
                remedy="Keep the key elsewhere: --key, or CJ_PIPELINE_REDACTION_KEY_FILE.",
            )


def _read(path: Path) -> bytes:
    try:
        with open_input(path) as file:
            status = os.fstat(file.fileno())
            content = file.read(4 * KEY_BYTES)
    except (IsADirectoryError, PermissionError):
        raise BadInput("cannot be read as a key.", path=path, remedy="Name a file of your own.") from None
    if status.st_uid != os.geteuid():
        raise BadInput("belongs to somebody else, who can read it.", path=path, remedy="Name a file of your own.")
    if status.st_mode & 0o077:
        raise BadInput("others may read this key.", path=path, remedy=f"chmod 600 {path}")
    try:
        key = bytes.fromhex(content.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadInput(
            f"is no key: {2 * KEY_BYTES} hex digits are expected.",
            path=path,
            remedy="Name another file; one that is not there is made.",
        )
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link does not replace: of two processes that make the key at once, both then read the first one's.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
