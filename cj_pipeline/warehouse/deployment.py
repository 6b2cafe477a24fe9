"""This module tells whether a process belongs to the deployment that launched its run: same code, same data folder.

A worker on another machine may hold the code of yesterday, or see an empty folder where the shared one is not mounted.
It would compute all the same, and nobody would find what it wrote.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse.files import create_whole

CODE_TAG = "cj_pipeline/code"
"""Run tag: digest of the code of the process that launched the run."""

FOLDER_TAG = "cj_pipeline/data_folder"
"""Run tag: what the file MARK says in the data folder of the process that launched the run."""

MARK = ".data_folder"

_DIGITS = 12
_CHECKOUT = Path(__file__).parents[2]


def _digest() -> str:
    digest = sha256()
    for package in ("assets", "cj_pipeline", "resources"):
        for path in sorted((_CHECKOUT / package).rglob("*.py")):
            digest.update(path.relative_to(_CHECKOUT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:_DIGITS]


# When this process loaded its code. A worker goes on with it, whatever is installed meanwhile.
LOADED_CODE = _digest()


def deployment_tags(data_dir: Path) -> Mapping[str, str]:
    """Return the tags of a run that this process launches. Writes the mark into the data folder if it has none."""
    mark = data_dir / MARK
    create_whole(mark, lambda temporary: temporary.write_text(uuid4().hex, encoding="utf-8"))
    return {CODE_TAG: LOADED_CODE, FOLDER_TAG: mark.read_text(encoding="utf-8")}


def require_same_deployment(tags: Mapping[str, str], data_dir: Path) -> None:
    """Raise BadInput where a run was launched by other code, or for another data folder. A run without tags may run."""
    here = f"worker on {platform.node()}"
    if tags.get(CODE_TAG, LOADED_CODE) != LOADED_CODE:
        raise BadInput(
            f"runs the code {LOADED_CODE}, and the run was launched by the code {tags[CODE_TAG]}.",
            path=here,
            field="code",
            remedy="Install the same code on every machine, then start workers, daemon and code server again.",
        )
    mark = data_dir / MARK
    wanted = tags.get(FOLDER_TAG)
    if wanted is None:
        return
    found = mark.read_text(encoding="utf-8") if mark.is_file() else None
    if found != wanted:
        raise BadInput(
            f"{data_dir} is not the data folder of the process that launched the run: "
            f"{'it has no file' if found is None else 'it has another'} {MARK}.",
            path=here,
            field="CJ_PIPELINE_DATA_DIR",
            remedy="Mount the shared folder there, or name the place where it is mounted.",
        )
