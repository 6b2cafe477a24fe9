"""This module keeps one small file per scenario, `published/<scenario>.json`, which says which run people look at."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from cj_pipeline.contracts.model import FileModel
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import POINTER
from cj_pipeline.foundation.versions import NewerVersion, marked, read_marked
from cj_pipeline.warehouse.files import replace_whole
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


def write_pointer(root: Path, pointer: Pointer) -> Path:
    """Replace the pointer of a scenario, whole. Raises NewerVersion for one that a newer program wrote."""
    is_published(root, pointer.scenario_id, pointer.run_id)  # refuses to replace a newer one
    text = json.dumps(marked(POINTER, pointer.model_dump(mode="json")), indent=2) + "\n"
    return replace_whole(_file(root, pointer.scenario_id), lambda temporary: _write(temporary, text))


def pointers(root: Path, known: Collection[str] = ()) -> tuple[Pointer, ...]:
    """Return the published runs of the scenarios that exist, by scenario id.

    known: scenarios that exist; another exists as long as its folder does. Raises BadInput for a file that is no
    pointer.
    """
    return tuple(one for one in all_pointers(root) if one.scenario_id in known or Path(one.scenario_folder).is_dir())


def readable_pointers(root: Path, known: Collection[str] = ()) -> tuple[tuple[Pointer, ...], list[str]]:
    """Return what `pointers` does of the files that can be read, and a sentence for each that cannot.

    Raises NewerVersion.
    """
    found, problems = [], []
    for path in _files(root):
        try:
            found.append(_read(path))
        except NewerVersion:
            raise
        except BadInput as problem:
            problems.append(str(problem))
    return tuple(one for one in found if one.scenario_id in known or Path(one.scenario_folder).is_dir()), problems


def all_pointers(root: Path) -> tuple[Pointer, ...]:
    """Return the published runs, also of scenarios that are gone. Raises BadInput for a file that is no pointer."""
    return tuple(_read(path) for path in _files(root))


def pointer_problems(root: Path) -> list[str]:
    """Return a sentence about each file that is no pointer. Raises NewerVersion."""
    problems = []
    for path in sorted((root / PUBLISHED_FOLDER).glob("[!.]*.json")):
        try:
            _read(path)
        except NewerVersion:
            raise
        except BadInput as damaged:
            problems.append(str(damaged))
    return problems


def pointer_of(root: Path, scenario_id: str) -> Pointer | None:
    """Return the published run of a scenario; None before the first. Raises BadInput as `pointers` does."""
    path = _file(root, scenario_id)
    return _read(path) if path.is_file() else None


def is_published(root: Path, scenario_id: str, run_id: str) -> bool:
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


def _files(root: Path) -> list[Path]:
    return sorted((root / PUBLISHED_FOLDER).glob("[!.]*.json"))


def _file(root: Path, scenario_id: str) -> Path:
    return root / PUBLISHED_FOLDER / f"{scenario_id}.json"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _read(path: Path) -> Pointer:
    try:
        return Pointer.model_validate(read_marked(POINTER, path.read_bytes(), path))
    except ValueError:  # pydantic's ValidationError is one
        raise BadInput("is no pointer to a run.", path=path, remedy="Materialise the scenario again.") from None
