"""This module removes folders of runs that nobody looks at any more. What is published is never removed."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cj_pipeline.foundation.data_path import DataPath, is_remote, matching
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.file_lock import file_lock
from cj_pipeline.foundation.versions import NewerVersion
from cj_pipeline.warehouse.data_root import local_folder
from cj_pipeline.warehouse.files import abandoned_files
from cj_pipeline.warehouse.history import pending_files
from cj_pipeline.warehouse.pointers import all_pointers
from cj_pipeline.warehouse.run_folder import RUNS_FOLDER, RunFolder
from cj_pipeline.warehouse.schemas import PARITY_PART, REPORTS, SCHEMAS
from cj_pipeline.warehouse.store import Warehouse

if TYPE_CHECKING:
    from upath import UPath

YOUNGEST = timedelta(days=1)
"""A younger folder may be of a run that is not over."""

_LOCK = ".pruning.lock"


def prune(
    warehouse: Warehouse, now: datetime, *, keep: int, on_left: Callable[[str], object] = lambda _: None
) -> tuple[RunFolder, ...]:
    """Remove runs of which nothing was written for a day, and return them.

    Kept are the published run of each scenario and its newest whole runs, `keep` of them together, and runs with a
    damaged report. Trials, and runs that broke off, are removed, and what killed writers have left. Of two processes of
    one machine that prune at once, one waits. now: aware. on_left: is given a sentence about each run that stays for
    what this program does not know in it. Raises NewerVersion, and removes nothing then.
    """
    with file_lock(local_folder(warehouse.root) / _LOCK):
        return _pruned(warehouse, now, keep, on_left)


def _pruned(warehouse: Warehouse, now: datetime, keep: int, on_left: Callable[[str], object]) -> tuple[RunFolder, ...]:
    published = {(pointer.scenario_id, pointer.run_id) for pointer in all_pointers(warehouse.root)}
    whole: dict[str, list[tuple[float, RunFolder]]] = defaultdict(list)
    removed = []
    for run_id, scenario_id, written in _runs(warehouse.root):
        run = warehouse.run(run_id, scenario_id)
        if (run.scenario_id, run.run_id) in published:
            continue
        try:
            is_whole = _is_whole(run)
        except NewerVersion:
            raise
        except BadInput:  # a damaged report is for people to look at
            continue
        if is_whole:
            whole[run.scenario_id].append((written, run))
        elif now.timestamp() - written > YOUNGEST.total_seconds():
            removed.append(run)
    with_pointer = {scenario_id for scenario_id, _ in published}
    for scenario_id, runs in whole.items():
        newest_first = sorted(runs, key=lambda one: (-one[0], one[1].run_id))
        spare = newest_first[max(0, keep - (scenario_id in with_pointer)) :]
        removed += [run for written, run in spare if now.timestamp() - written > YOUNGEST.total_seconds()]
    for run in removed:
        _refuse_newer(run)
    unknown = {run: [path for path in matching(run.folder, "[!.]*") if path.name not in SCHEMAS] for run in removed}
    for first, *_ in filter(None, unknown.values()):
        on_left(f"{first}: is no dataset that this cj-pipeline knows, so its run stays. Upgrade it, or move that away.")
    removed = [run for run in removed if not unknown[run]]
    for run in removed:
        _remove(run.folder)
    for path in (*pending_files(warehouse.root), *abandoned_files(local_folder(warehouse.root))):
        with suppress(FileNotFoundError):  # its writer has renamed it meanwhile
            if now.timestamp() - path.stat().st_mtime > YOUNGEST.total_seconds():
                path.unlink()
    return tuple(removed)


def _runs(root: DataPath) -> Iterator[tuple[str, str, float]]:
    """Yield (run, scenario, when something was last written) of each folder of a run."""
    if is_remote(root):
        yield from _remote_runs(root / RUNS_FOLDER)
        return
    for folder in sorted((root / RUNS_FOLDER).glob("*/*")):
        if _is_run_folder(folder):
            written = max((path.lstat().st_mtime for path in folder.glob("*/*")), default=folder.stat().st_mtime)
            yield folder.parent.name, folder.name, written


def _remote_runs(runs: UPath) -> list[tuple[str, str, float]]:
    """List all objects of runs at once: a prefix has no time of its own."""
    newest: dict[tuple[str, str], float] = {}
    for name, found in runs.fs.find(runs.path, detail=True).items():
        places = name.removeprefix(f"{runs.path}/").split("/")
        if len(places) == len(("run", "scenario", "dataset", "part")):
            run_id, scenario_id, *_ = places
            written = found["LastModified"].timestamp()
            newest[run_id, scenario_id] = max(written, newest.get((run_id, scenario_id), 0.0))
    return [(*run, written) for run, written in sorted(newest.items())]


def _is_run_folder(folder: Path) -> bool:
    """Return whether a run may have made this: files of a file manager, hidden folders and links are of others."""
    own = not any(path.is_symlink() or path.name.startswith(".") for path in (folder, folder.parent))
    return own and folder.is_dir()


def _is_whole(run: RunFolder) -> bool:
    """Return whether a run came as far as a report that could be published. Raises BadInput for a damaged report.

    Raises NewerVersion: what a newer program made is not removed for what this one cannot read in it.
    """
    return run.has(REPORTS, PARITY_PART) and not run.stamp(REPORTS, PARITY_PART).origin.trial


def _refuse_newer(run: RunFolder) -> None:
    """Raise NewerVersion where one of a run's files is of a newer program; a damaged file is of no use to anybody."""
    for dataset, part in run.made(run.parts()):
        try:
            run.stamp(dataset, part)
        except NewerVersion:
            raise
        except BadInput:
            continue


def _remove(folder: DataPath) -> None:
    if is_remote(folder):
        folder.fs.rm(folder.path, recursive=True)
        return
    shutil.rmtree(folder)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()
