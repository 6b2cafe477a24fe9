"""This module finds what an ENG5 run is about: instructions, prompt, graded anchors and students' essays, as files.

FOLDER/instructions.*   what the judge goes by        FOLDER/anchors/    a file for each anchor
FOLDER/prompt.*         what the pupils were asked    FOLDER/students/   a file for each essay
FOLDER/anchors.csv      grades, or anchors.xlsx; without it the names of the files end in them: name_C+.txt
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.tables import Column, read_table
from cj_pipeline.runs.recording.essays import ENDINGS, essay_text
from cj_pipeline.traces.grade_file import GRADE, GRADE_ORDER
from cj_pipeline.traces.importing.grade_scales import OUTCOMES, STEPS, NotOnTheScale
from cj_pipeline.traces.provenance import file_sha256

SHIPPED_NET = Path(__file__).with_name("net")
"""Twelve graded anchors and twelve essays that were written for this project."""

ANCHOR_DIR_VARIABLE = "ENG5_ANCHOR_DIR_OVERRIDE"
UNKNOWN_CHECKSUM = "0" * 64
ENG5_SCALES = ("eng5_np_legacy_9_step", "eng5_np_national_9_step")

_FILE = Column("file", ("FILE-NAME", "file"), required=False)
_ANCHOR = Column("anchor", ("ANCHOR-ID", "essay_id", "id", "label", "FILE-NAME"))


@dataclass(frozen=True)
class InputFile:
    """One file: where it is, the SHA-256 of its bytes, and its text, which is read when it is asked for."""

    path: Path
    checksum: str

    @cached_property
    def text(self) -> str:
        """The text. Raises BadInput where the file holds none, or cannot be read."""
        return essay_text(self.path)


@dataclass(frozen=True)
class Essay:
    """An anchor or a student's essay. name: of the table, or of its file without the ending; grade: where known."""

    name: str
    file: InputFile
    grade: str | None = None

    @property
    def stem(self) -> str:
        """Of the file, from which ids are made."""
        return unicodedata.normalize("NFC", self.file.path.stem).strip()


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything a run is about. anchor_table: where grades are from; warnings: what is missing, a sentence each."""

    root: Path
    instructions: InputFile | None
    prompt: InputFile | None
    anchor_table: InputFile | None
    anchors: tuple[Essay, ...]
    students: tuple[Essay, ...]
    warnings: tuple[str, ...] = ()

    def first(self, count: int) -> Inventory:
        """Return the same with the first essays of each list only."""
        return replace(self, anchors=self.anchors[:count], students=self.students[:count])

    @property
    def files(self) -> tuple[InputFile, ...]:
        """Every file, in a fixed order."""
        single = (self.instructions, self.prompt, self.anchor_table)
        lists = (*self.anchors, *self.students)
        return (*(file for file in single if file is not None), *(essay.file for essay in lists))

    def grade_scale(self, expected: str | None) -> str | None:
        """Return the name of the scale that has all known grades; None where no grade is known.

        expected: the one that is meant. Raises BadInput where it lacks one of the grades.
        """
        used = {anchor.grade for anchor in self.anchors if anchor.grade is not None}
        if expected is not None:
            if strange := sorted(used - set(OUTCOMES[expected])):
                raise BadInput(
                    f"grade {strange[0]} is not on {expected}.",
                    path=self.root,
                    field="anchors",
                    remedy=f"Best to worst: {' '.join(OUTCOMES[expected])}.",
                )
            return expected
        if not used:
            return None
        for name in (*ENG5_SCALES, *(name for name in STEPS if name not in ENG5_SCALES)):
            if used <= set(OUTCOMES[name]):
                return name
        raise NotOnTheScale(f"{self.root}: the grades of the anchors are not those of one known scale.")


def read_inventory(root: Path, *, anchor_dir: Path | None = None, with_students: bool = True) -> Inventory:
    """Find the inputs in a folder. anchor_dir: other anchors; the environment's override by default.

    Raises BadInput naming the file: no such folder, two files for one essay, a table that does not fit the files.
    """
    if not root.is_dir():
        raise BadInput("no such folder.", path=root, remedy="It holds anchors/, students/, prompt and instructions.")
    override = os.environ.get(ANCHOR_DIR_VARIABLE)
    if anchor_dir is None and override:
        anchor_dir = Path(override)
        if not anchor_dir.is_dir():
            raise BadInput(
                "no such folder.", path=anchor_dir, field=ANCHOR_DIR_VARIABLE, remedy="Unset it, or mend it."
            )
    folder = anchor_dir or root / "anchors"
    if not folder.is_dir() and not (root / "students").is_dir():
        raise BadInput(
            "holds neither anchors/ nor students/.", path=root, remedy="--net names a folder of a net: docs/eng5.md."
        )
    warnings: list[str] = []
    table = _one_of(folder.parent if anchor_dir is None else folder, "anchors", (".csv", ".xlsx", ".tsv"))
    if table is None and anchor_dir is not None:
        table = _one_of(folder, "grades", (".csv", ".xlsx", ".tsv"))
    found = [Essay(file.path.stem, file) for file in _files(folder)]
    anchors = _graded_by_names(found) if table is None else _graded_by_table(found, table.path)
    ungraded = [anchor.name for anchor in anchors if anchor.grade is None]
    if ungraded:
        warnings.append(f"{len(ungraded)} of {len(anchors)} anchors have no known grade: {', '.join(ungraded[:5])}.")
    instructions = _one_of(root, "instructions", ENDINGS)
    prompt = _one_of(root, "prompt", ENDINGS)
    warnings += [
        f"{root / name}.*: no such file; its checksum in the artefact is all zeros."
        for name, there in (("instructions", instructions), ("prompt", prompt))
        if there is None
    ]
    students = tuple(Essay(file.path.stem, file) for file in _files(root / "students")) if with_students else ()
    return Inventory(root, instructions, prompt, table, anchors, students, tuple(warnings))


def grade_of_name(stem: str) -> str | None:
    """Return the grade that the name of a file ends in; None where it ends in none.

    >>> grade_of_name("vt_008_C+"), grade_of_name("anchor_3_B12"), grade_of_name("autumn")
    ('C+', 'B', None)
    """
    last = re.sub(r"\d", "", unicodedata.normalize("NFC", stem).rpartition("_")[2]).upper()
    return last if last in GRADE_ORDER else None


def _graded_by_names(anchors: Iterable[Essay]) -> tuple[Essay, ...]:
    return tuple(replace(anchor, grade=grade_of_name(anchor.stem)) for anchor in anchors)


def _graded_by_table(anchors: list[Essay], path: Path) -> tuple[Essay, ...]:
    """Give anchors the names and grades of a table, which names them by file or by id."""
    by_stem = {anchor.stem.casefold(): anchor for anchor in anchors}
    scale = {*GRADE_ORDER, *STEPS["eng5_np_national_9_step"]}
    graded: dict[str, Essay] = {}
    for row in read_table(path, (_FILE, _ANCHOR, GRADE)).rows:
        grade = row.text("grade")
        if grade not in scale:
            raise row.problem("grade", f"'{grade}' is not a grade.", f"Best to worst: {' '.join(GRADE_ORDER)}.")
        column = "file" if row.cells.get("file") is not None else "anchor"
        named = row.text(column)
        stem = Path(named).stem if Path(named).suffix.lower() in ENDINGS else named
        anchor = by_stem.get(stem.casefold())
        if anchor is None:
            raise row.problem(column, f"'{named}' is no file of the anchors.", "Name each anchor by its file.")
        if anchor.stem in graded:
            raise row.problem(column, f"'{named}' is graded twice.")
        name = row.text("anchor") if row.cells.get("anchor") is not None else anchor.name
        graded[anchor.stem] = replace(anchor, name=name, grade=grade)
    return tuple(graded.get(anchor.stem, anchor) for anchor in anchors)


def _files(folder: Path) -> list[InputFile]:
    """Return the essays of a folder by name; those that an editor holds open (`~$`) are none."""
    if not folder.is_dir():
        return []
    paths = sorted(path for path in folder.iterdir() if _is_essay(path))
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(path.stem.casefold(), path)
        if other != path:
            raise BadInput(f"is another file of the essay {other.name}.", path=path, remedy="Keep one of them.")
    return [_read(path) for path in paths]


def _is_essay(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in ENDINGS and not path.name.startswith(("~$", "."))


def _one_of(folder: Path, stem: str, endings: Iterable[str]) -> InputFile | None:
    found = [path for ending in endings if (path := folder / f"{stem}{ending}").is_file()]
    if len(found) > 1:
        raise BadInput(f"is there beside {found[0].name}.", path=found[1], remedy="Keep one of them.")
    return _read(found[0]) if found else None


def _read(path: Path) -> InputFile:
    return InputFile(path, file_sha256(path))
