"""This module keeps one small file per scenario, `published/<scenario>.json`, which says which run people look at."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from cj_pipeline.contracts.model import FileModel
from cj_pipeline.foundation.data_path import DataPath, is_remote, matching
from cj_pipeline.foundation.disk import is_misplaced
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import POINTER
from cj_pipeline.foundation.versions import NewerVersion, marked, read_marked
from cj_pipeline.warehouse.data_root import for_each
from cj_pipeline.warehouse.files import read_whole, replace_whole
from cj_pipeline.warehouse.origin import CodeVersion, SideAnswers

PUBLISHED_FOLDER = "published"


class Pointer(FileModel):
    """The published run of one scenario.

    scenario_folder: where the scenario was read, as an absolute path; answers: by side; verdict: of the comparison.
    """

    scenario_id: str
    scenario_folder: str
    run_id: str
    published_at: datetime
    verdict: str
    answers: dict[str, SideAnswers]
    code: CodeVersion


def pointer_version(root: DataPath, scenario_id: str) -> str | None:
    """Return what names this version of a pointer on object storage; None before the first, and in a folder."""
    path = _file(root, scenario_id)
    if not is_remote(path):
        return None
    from cj_pipeline.warehouse.object_storage import read_versioned

    found = read_versioned(path)
    return None if found is None else found[1]


def write_pointer(root: DataPath, pointer: Pointer, version: str | None) -> bool:
    """Replace the pointer of a scenario, whole, if it is still this version; return whether it was replaced.

    version: as `pointer_version` returned it; in a folder, where there are none, a pointer is replaced whatever it is.
    Raises NewerVersion for one that a newer program wrote.
    """
    is_published(root, pointer.scenario_id, pointer.run_id)  # refuses to replace a newer one
    path = _file(root, pointer.scenario_id)
    text = json.dumps(marked(POINTER, pointer.model_dump(mode="json")), indent=2) + "\n"
    if not is_remote(path):
        replace_whole(path, lambda temporary: _write(temporary, text))
        return True
    from cj_pipeline.warehouse.object_storage import put_if

    return put_if(path, text.encode(), version)


def pointers(root: DataPath, known: Collection[str] = ()) -> tuple[Pointer, ...]:
    """Return the published runs of the scenarios that exist, by scenario id.

    known: scenarios that exist; another exists as long as its folder does. Raises BadInput for a file that is no
    pointer.
    """
    return tuple(one for one in all_pointers(root) if one.scenario_id in known or Path(one.scenario_folder).is_dir())


def readable_pointers(root: DataPath, known: Collection[str] = ()) -> tuple[tuple[Pointer, ...], list[str]]:
    """Return what `pointers` does of the files that can be read, and a sentence for each that cannot.

    Raises NewerVersion.
    """

    def read(path: DataPath) -> Pointer | str:
        try:
            return _read(path)
        except NewerVersion:
            raise
        except BadInput as problem:
            return str(problem)

    found = for_each(root, read, pointer_files(root))
    there = [one for one in found if isinstance(one, Pointer)]
    problems = [one for one in found if isinstance(one, str)]
    return tuple(one for one in there if one.scenario_id in known or Path(one.scenario_folder).is_dir()), problems


def all_pointers(root: DataPath) -> tuple[Pointer, ...]:
    """Return the published runs, also of scenarios that are gone. Raises BadInput for a file that is no pointer."""
    return tuple(for_each(root, _read, pointer_files(root)))


def pointer_problems(root: DataPath) -> list[str]:
    """Return a sentence about each file that is no pointer. Raises NewerVersion."""
    problems = []
    for path in pointer_files(root):
        try:
            _read(path)
        except NewerVersion:
            raise
        except BadInput as damaged:
            problems.append(str(damaged))
    return problems


def pointer_of(root: DataPath, scenario_id: str) -> Pointer | None:
    """Return the published run of a scenario; None before the first. Raises BadInput as `pointers` does."""
    try:
        return _read(_file(root, scenario_id))
    except FileNotFoundError:
        return None


def is_published(root: DataPath, scenario_id: str, run_id: str) -> bool:
    """Return whether this is the run that people look at. A damaged pointer is no run's, so that it can be replaced.

    Raises NewerVersion: what a newer program published is not replaced by what this one knows.
    """
    try:
        pointer = pointer_of(root, scenario_id)
    except NewerVersion:
        raise
    except BadInput:
        return False
    return pointer is not None and pointer.run_id == run_id


def pointer_files(root: DataPath) -> list[DataPath]:
    """Return the files of all pointers, also of scenarios that are gone."""
    return matching(root / PUBLISHED_FOLDER, "[!.]*.json")


def _file(root: DataPath, scenario_id: str) -> DataPath:
    return root / PUBLISHED_FOLDER / f"{scenario_id}.json"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _read(path: DataPath) -> Pointer:
    try:
        return Pointer.model_validate(read_marked(POINTER, read_whole(path), path))
    except ValueError:  # pydantic's ValidationError is one
        raise BadInput("is no pointer to a run.", path=path, remedy="Materialise the scenario again.") from None
    except OSError as error:
        if not is_misplaced(error):
            raise
        raise BadInput("is no file.", path=path, remedy="Move it away, and materialise the scenario again.") from None
