"""This module makes the ids under which the ENG5 runner has essays compared, from the names of their files."""

from __future__ import annotations

import re
from hashlib import sha256

from cj_pipeline.contracts.els_request import ANCHOR_PREFIX

STUDENT_PREFIX = "student::"
"""Of an anchor that is judged like a student's essay, so that the CJ service takes it for none of its own."""

LONGEST_KEY = 36
LONGEST_ANCHOR_KEY = 27
_HASH_SIGNS = 8


def essay_key(name: str, longest: int = LONGEST_KEY) -> str:
    """Return a name in upper case with underscores; a long one is cut and ends in 8 hex digits of its SHA-256.

    >>> essay_key("student_01"), essay_key("anchor essay (ENG 5) 12 of 2016", LONGEST_ANCHOR_KEY)
    ('STUDENT_01', 'ANCHOR_ESSAY__ENG__F8913193')
    """
    key = re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    if len(key) <= longest:
        return key
    digest = sha256(key.encode()).hexdigest()[:_HASH_SIGNS].upper()
    return f"{key[: longest - _HASH_SIGNS - 1]}_{digest}"


def student_id(stem: str) -> str:
    """Return the id of a student's essay in comparisons."""
    return essay_key(stem)


def anchor_id(stem: str) -> str:
    """Return the id of an anchor that is judged as one: with the prefix by which the CJ service knows anchors."""
    key = essay_key(stem, LONGEST_ANCHOR_KEY)
    return key if key.startswith(ANCHOR_PREFIX) else ANCHOR_PREFIX + key


def anchor_as_student_id(stem: str) -> str:
    """Return the id of an anchor that is judged like a student's essay."""
    return STUDENT_PREFIX + essay_key(stem, LONGEST_ANCHOR_KEY)


def listed_id(compared: str) -> str:
    """Return an id as the artefact's list of students has it: 3 to 64 of a-z, 0-9, `_` and `-`."""
    return re.sub(r"[^a-z0-9_-]", "_", compared.removeprefix(STUDENT_PREFIX).lower()).ljust(3, "_")[:64]
