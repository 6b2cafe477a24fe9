"""This module finds numbers that JSON does not have: NaN and the infinities, which a literal beyond a double becomes.

The models refuse them in their own fields, but do not look into free-form metadata, where one would be echoed as null.
"""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from uuid import UUID

from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.model import WireModel

# Passed over by exact type: this runs for each callback, and nearly all of what it sees is one of these.
_HARMLESS = frozenset({str, int, bool, type(None), UUID, datetime, Winner, Provider})


def all_finite(value: object) -> bool:
    """Return whether every number in a value read from JSON is finite: in a model with all it holds, a dict, a list."""
    unseen = [value]
    while unseen:
        element = unseen.pop()
        if isinstance(element, float):
            if not isfinite(element):
                return False
        elif isinstance(element, dict):
            unseen += [below for below in element.values() if type(below) not in _HARMLESS]
        elif isinstance(element, list):
            unseen += element
        elif isinstance(element, WireModel):
            unseen.append(element.__dict__)
            if element.model_extra:
                unseen.append(element.model_extra)
    return True
