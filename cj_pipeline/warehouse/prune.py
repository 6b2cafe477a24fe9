"""This module removes folders of runs that nobody looks at any more. What is published is never removed."""

from __future__ import annotations

import shutil
from collections import defaultdict
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.versions import NewerVersion
from cj_pipeline.warehouse.files import abandoned_files
from cj_pipeline.warehouse.history import pending_files
from cj_pipeline.warehouse.pointers import all_pointers
from cj_pipeline.warehouse.run_folder import RUNS_FOLDER, RunFolder
from cj_pipeline.warehouse.schemas import PARITY_PART, REPORTS
from cj_pipeline.warehouse.store import Warehouse

YOUNGEST = timedelta(days=1)
"""A younger folder may be of a run that is not over."""


def prune(warehouse: Warehouse, now: datetime, *, keep: int) -> tuple[RunFolder, ...]:
    """Remove runs of which nothing was written for a day, and return them.

    Kept are the published run of each scenario and its newest whole runs, `keep` of them together. Trials, and runs
    that broke off, are removed, and what killed writers have left. now: aware.
    """
    published = {(pointer.scenario_id, pointer.run_id) for pointer in all_pointers(warehouse.root)}
    whole: dict[str, list[tuple[float, RunFolder]]] = defaultdict(list)
    removed = []
    for folder in sorted((warehouse.root / RUNS_FOLDER).glob("*/*")):
        if not _is_run_folder(folder):
            continue
        run = warehouse.run(folder.parent.name, folder.name)
        written = max((path.lstat().st_mtime for path in folder.glob("*/*")), default=folder.stat().st_mtime)
        if (run.scenario_id, run.run_id) in published:
            continue
        if _is_whole(run):
            whole[run.scenario_id].append((written, run))
        elif now.timestamp() - written > YOUNGEST.total_seconds():
            removed.append(run)
    with_pointer = {scenario_id for scenario_id, _ in published}
    for scenario_id, runs in whole.items():
        newest_first = sorted(runs, key=lambda one: (-one[0], one[1].run_id))
        spare = newest_first[max(0, keep - (scenario_id in with_pointer)) :]
        removed += [run for written, run in spare if now.timestamp() - written > YOUNGEST.total_seconds()]
    for run in removed:
        _remove(run.folder)
    for path in (*pending_files(warehouse.root), *abandoned_files(warehouse.root)):
        with suppress(FileNotFoundError):  # its writer has renamed it meanwhile
            if now.timestamp() - path.stat().st_mtime > YOUNGEST.total_seconds():
                path.unlink()
    return tuple(removed)


def _is_run_folder(folder: Path) -> bool:
    """Return whether a run may have made this: files of a file manager, hidden folders and links are of others."""
    own = not any(path.is_symlink() or path.name.startswith(".") for path in (folder, folder.parent))
    return own and folder.is_dir()


def _is_whole(run: RunFolder) -> bool:
    """Return whether a run came as far as a report that could be published.

    Raises NewerVersion: what a newer program made is not removed for what this one cannot read in it.
    """
    if not run.has(REPORTS, PARITY_PART):
        return False
    try:
        return not run.stamp(REPORTS, PARITY_PART).origin.trial
    except NewerVersion:
        raise
    except BadInput:
        return False


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()
