"""This module lists the instructions and the anchors that a CJ database holds, as a runner needs them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.traces.importing.cj_database import cj_assignments

NEWEST = 20
"""Instructions that are listed."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One row of instructions. missing: what keeps `execute` from taking it, a word each; empty where nothing does."""

    assignment_id: str | None
    course_id: str | None
    grade_scale: str
    context_origin: str | None
    student_prompt_storage_id: str | None
    judge_rubric_storage_id: str | None
    anchors: int
    created_at: str | None

    @property
    def missing(self) -> tuple[str, ...]:
        """What keeps `execute` from taking it."""
        wanted = (
            ("assignment", self.assignment_id is not None),
            ("student prompt", self.student_prompt_storage_id is not None),
            ("anchors", self.anchors > 0),
        )
        return tuple(word for word, there in wanted if not there)


def assignments(url: str, count: int = NEWEST) -> list[Assignment]:
    """Return the newest instructions, the newest first. Raises BadInput: a database that cannot be read."""
    rows = cj_assignments(url)
    anchors = Counter(row["assignment_id"] for row in rows.anchors)
    found = [
        Assignment(
            assignment_id=row["assignment_id"],
            course_id=row.get("course_id"),
            grade_scale=str(row["grade_scale"]),
            context_origin=row.get("context_origin"),
            student_prompt_storage_id=row.get("student_prompt_storage_id"),
            judge_rubric_storage_id=row.get("judge_rubric_storage_id"),
            anchors=anchors[row["assignment_id"]] if row["assignment_id"] is not None else 0,
            created_at=None if row.get("created_at") is None else str(row["created_at"])[:19],
        )
        for row in rows.instructions
    ]
    found.sort(key=lambda one: one.created_at or "", reverse=True)
    return found[:count]


def anchors_of(url: str, assignment: str) -> list[dict[str, Any]]:
    """Return the anchors of an assignment, by label. Raises BadInput where the database knows no such assignment."""
    rows = cj_assignments(url)
    found = [dict(row) for row in rows.anchors if row["assignment_id"] == assignment]
    known = {row["assignment_id"] for row in (*rows.instructions, *rows.anchors)} - {None}
    if assignment not in known:
        hint = did_you_mean(assignment, known) if known else "The database holds no instructions at all."
        raise BadInput(f"'{assignment}' has neither instructions nor anchors.", path="the CJ database",
                       field="assignment_id", remedy=hint)  # fmt: skip
    return sorted(found, key=lambda row: (str(row["grade"]), str(row["anchor_label"])))


def hints(listed: list[Assignment]) -> list[str]:
    """Return commands to copy, for the newest instructions that `execute` can take, or for what they lack."""
    for one in listed:
        if one.assignment_id is not None and not one.missing:
            return [
                f"export ASSIGNMENT={one.assignment_id}",
                "cj-pipeline eng5 instructions --anchors $ASSIGNMENT",
                f"cj-pipeline eng5 preflight --assignment-id $ASSIGNMENT --course-id $COURSE"
                f"{_asserted(one.grade_scale)}",
            ]
    for one in listed:
        if one.assignment_id is not None:
            return [f"export ASSIGNMENT={one.assignment_id}", *_mended(one)]
    return ["cj-pipeline cj admin instructions set instructions.md --assignment $ASSIGNMENT --scale SCALE"]


def _asserted(scale: str) -> str:
    return f" --expected-grade-scale {scale}" if scale.startswith("eng5_") else ""


def _mended(one: Assignment) -> list[str]:
    commands = {
        "student prompt": "cj-pipeline cj admin prompts set $ASSIGNMENT prompt.md",
        "anchors": "cj-pipeline eng5 register-anchors $ASSIGNMENT --anchor-dir anchors/",
    }
    return [commands[word] for word in one.missing if word in commands]
