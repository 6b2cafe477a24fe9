"""This module makes the keys under which the CJ service and the ENG5 runner know an essay, from its name."""

from __future__ import annotations

import re
from hashlib import sha256

from cj_pipeline.contracts.els_request import ANCHOR_PREFIX

LONGEST_KEY = 36
LONGEST_ANCHOR_KEY = 27
_HASH_SIGNS = 8


def essay_key(name: str, longest: int = LONGEST_KEY) -> str:
    """Return a name in upper case with underscores; a long one is cut and ends in 8 hex digits of its SHA-256.

    The digest is that of the whole key before it is cut, so that it depends on nothing that a key does not show.

    >>> essay_key("student_01"), essay_key("anchor essay (ENG 5) 12 of 2016", LONGEST_ANCHOR_KEY)
    ('STUDENT_01', 'ANCHOR_ESSAY__ENG__F8913193')
    """
    key = re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    if len(key) <= longest:
        return key
    digest = sha256(key.encode()).hexdigest()[:_HASH_SIGNS].upper()
    return f"{key[: longest - _HASH_SIGNS - 1]}_{digest}"


def anchor_keys(name: str) -> tuple[str, ...]:
    """Return every key under which an anchor of this name may have been compared: as a student's essay, or as one."""
    short = essay_key(name, LONGEST_ANCHOR_KEY)
    return essay_key(name), short, short if short.startswith(ANCHOR_PREFIX) else ANCHOR_PREFIX + short
