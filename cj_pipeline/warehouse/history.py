"""This module keeps the history of published runs: `history/<scenario>/<run_id>.parquet`, a row for each check.

Files are added and never changed or removed, also not by `prune`. A run's file is written under a hidden name before
its pointer and renamed after it, so a killed run is in the history exactly when it was published: readers take the
hidden file of the run that the pointer names. There are no locks. What the rows mean is for parity/history to say.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import HISTORY as FORMAT
from cj_pipeline.foundation.versions import NewerVersion
from cj_pipeline.warehouse.parquet import parquet_metadata, read_parquet, write_parquet
from cj_pipeline.warehouse.pointers import pointer_of
from cj_pipeline.warehouse.rows import table_of
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.schemas import HISTORY_SCHEMA, PARITY_PART, REPORTS

HISTORY_FOLDER = "history"
VERSION_KEY = b"cj_pipeline_history_schema"
_SCENARIO_FILE = "scenario.yaml"
_PENDING = ".parquet.pending"
_REMEDY = "Move it out of the history."


def history_folder(root: Path, scenario_id: str) -> Path:
    """Return the folder of one scenario's history, whether or not it exists. root: the data folder."""
    return root / HISTORY_FOLDER / scenario_id


def history_scenarios(root: Path) -> tuple[str, ...]:
    """Return the ids of the scenarios that have a history, also of those that are gone."""
    return tuple(sorted(path.name for path in (root / HISTORY_FOLDER).glob("[!.]*") if path.is_dir()))


def prepare_history(run: RunFolder, scenario_folder: Path) -> Path:
    """Write the checks of a whole run under a hidden name, for `enter_history` once the run is published; return it.

    The same run gives the same file, however often it is asked.
    """
    stamp = run.stamp(REPORTS, PARITY_PART)
    recorded, live = (stamp.origin.answers[side] for side in ("recorded", "live"))
    recordings = [row["sha256"] for row in run.read("judges", "recorded")] or [recorded.judge_sha256]
    of_run = {
        "scenario_id": run.scenario_id,
        "run_id": run.run_id,
        "time": stamp.written_at,
        "mode": live.judge,
        "mode_sha": live.judge_sha256,
        "recording_sha": recordings[0] if len(recordings) == 1 else sha256(" ".join(recordings).encode()).hexdigest(),
        "code_sha": stamp.code.git_sha or stamp.code.version,
        "scenario_sha": _digest(scenario_folder / _SCENARIO_FILE),
        "seed": live.seed,
        "answers_sha": live.answers_sha256,
    }
    columns = [name for name in HISTORY_SCHEMA.names if name not in of_run]
    rows = [{name: row[name] for name in columns} for row in run.read("parity_checks", PARITY_PART)]
    path = _pending(run.root, run.scenario_id, run.run_id)
    table = table_of(HISTORY_SCHEMA, rows, path, of_run)
    return write_parquet(path, table.replace_schema_metadata({VERSION_KEY: str(FORMAT.version)}))


def enter_history(root: Path, scenario_id: str, run_id: str) -> None:
    """Take the prepared file of a run that was published into the history; nothing where there is none."""
    with suppress(FileNotFoundError):  # nothing was prepared, or another publisher was faster
        _pending(root, scenario_id, run_id).replace(history_folder(root, scenario_id) / f"{run_id}.parquet")


def complete_history(root: Path, scenario_id: str) -> None:
    """Take the published run into the history, where its publisher was killed before it did."""
    for path in _published_pending(root, scenario_id):
        enter_history(root, scenario_id, path.name.removeprefix(".").removesuffix(_PENDING))


def pending_files(root: Path) -> list[Path]:
    """Return the files that were prepared for runs that are not published."""
    hidden = sorted((root / HISTORY_FOLDER).glob(f"*/.*{_PENDING}"))
    return [path for path in hidden if path not in _published_pending(root, path.parent.name)]


def read_history(root: Path, scenario_id: str) -> list[dict[str, Any]]:
    """Return the rows of a scenario's history, oldest run first; none before the first published run.

    Raises BadInput naming a file that is no history, or that a newer version wrote.
    """
    tables = [_read(path) for path in history_files(root, [scenario_id])]
    if not tables:
        return []
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
    return sorted(rows, key=lambda row: (row["time"], row["run_id"]))


def check_history(root: Path) -> list[str]:
    """Return a sentence about each file that is no history of a run. Raises NewerVersion."""
    problems = []
    for path in history_files(root, history_scenarios(root)):
        try:
            _read(path)
        except NewerVersion:
            raise
        except BadInput as damaged:
            problems.append(str(damaged))
    return problems


def history_files(root: Path, scenario_ids: Collection[str]) -> list[Path]:
    """Return the files of some scenarios' history."""
    return [
        path
        for one in sorted(scenario_ids)
        for path in (*sorted(history_folder(root, one).glob("[!.]*.parquet")), *_published_pending(root, one))
    ]


def _published_pending(root: Path, scenario_id: str) -> tuple[Path, ...]:
    """Return the prepared file of the published run, which its publisher did not live to rename."""
    try:
        pointer = pointer_of(root, scenario_id)
    except NewerVersion:
        raise
    except BadInput:
        return ()  # a damaged pointer names no run
    path = None if pointer is None else _pending(root, scenario_id, pointer.run_id)
    return () if path is None or not path.is_file() else (path,)


def _pending(root: Path, scenario_id: str, run_id: str) -> Path:
    return history_folder(root, scenario_id) / f".{run_id}{_PENDING}"


def _read(path: Path) -> pa.Table:
    try:
        version = json.loads(parquet_metadata(path, remedy=_REMEDY)[VERSION_KEY])
    except (KeyError, ValueError):
        raise BadInput("is no history of a run.", path=path, remedy=_REMEDY) from None
    FORMAT.known(version, path)
    return read_parquet(path, HISTORY_SCHEMA, remedy=_REMEDY)


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
