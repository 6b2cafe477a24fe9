"""This module makes the ids under which the ENG5 runner has essays compared, from the names of their files."""

from __future__ import annotations

import re

from cj_pipeline.traces.essay_key import LONGEST_ANCHOR_KEY, anchor_keys, essay_key

STUDENT_PREFIX = "student::"
"""Of an anchor that is judged like a student's essay, so that the CJ service takes it for none of its own."""


def student_id(stem: str) -> str:
    """Return the id of a student's essay in comparisons."""
    return essay_key(stem)


def anchor_id(stem: str) -> str:
    """Return the id of an anchor that is judged as one: with the prefix by which the CJ service knows anchors."""
    return anchor_keys(stem)[-1]


def anchor_as_student_id(stem: str) -> str:
    """Return the id of an anchor that is judged like a student's essay."""
    return STUDENT_PREFIX + essay_key(stem, LONGEST_ANCHOR_KEY)


def listed_id(compared: str) -> str:
    """Return an id as the artefact's list of students has it: 3 to 64 of a-z, 0-9, `_` and `-`."""
    return re.sub(r"[^a-z0-9_-]", "_", compared.removeprefix(STUDENT_PREFIX).lower()).ljust(3, "_")[:64]
