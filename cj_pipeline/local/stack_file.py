"""What is kept about the stack of this machine between two commands: its plan, and which processes it is.

Here: the file and its schema, and that one command at a time changes it. Not here: making a plan (stack_plan.py),
starting and ending (stack.py).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from cj_pipeline.contracts.model import FileModel
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.local.processes import ProcessId

STACK_FOLDER = "stack"
_FILE = "stack.json"


class StackPlan(FileModel):
    """What a stack is made of, from the first `up` to the last `down`.

    ports: by the name of the part, of those that there are; without `kafka` the brokers are somebody else's.
    lps, cj: settings given to the two services, by their names; everything else is at its default.
    """

    scenario_id: str
    traces_dir: Path
    data_dir: Path
    bootstrap_servers: str
    ports: dict[str, int]
    lps: dict[str, Any]
    cj: dict[str, Any]
    database_url: str

    @property
    def folder(self) -> Path:
        """Where everything is that the stack writes."""
        return self.data_dir / STACK_FOLDER

    def url(self, part: str) -> str:
        """Of a part that speaks HTTP."""
        return f"http://127.0.0.1:{self.ports[part]}"


class StackRecord(FileModel):
    """A plan, and the processes that were started for it, by the name of the part."""

    schema_version: Literal[1] = 1
    plan: StackPlan
    processes: dict[str, ProcessId] = Field(default_factory=dict)


def read_record(data_dir: Path) -> StackRecord | None:
    """What is known of a stack below a data folder; None when there was none. Raises BadInput for a spoilt file."""
    path = data_dir / STACK_FOLDER / _FILE
    try:
        return StackRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadInput(
            f"{first['msg']}.",
            path=path,
            field=".".join(str(part) for part in first["loc"]),
            remedy="It names the processes of a stack. End those by hand, and remove it.",
        ) from None


def write_record(record: StackRecord) -> None:
    """Keep it. Readable by its user alone: the URL of a database may hold a password."""
    path = record.plan.folder / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(record.model_dump_json(indent=2) + "\n")
    draft.rename(path)


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Wait until no other command starts or ends a stack below this folder, and keep others waiting."""
    folder = data_dir / STACK_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
