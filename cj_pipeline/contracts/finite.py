"""Numbers that JSON does not have, found in a message before they get any further.

Here: NaN and the infinities (which a literal beyond a double also becomes). The models refuse them in their own fields;
that check does not reach into free-form metadata, where such a number would be echoed as null.
"""

from __future__ import annotations

from math import isfinite

from cj_pipeline.contracts.model import WireModel


def all_finite(value: object) -> bool:
    """Whether every number is finite in a value read from JSON: a model with all it holds, a dict, a list, a scalar."""
    # One loop instead of a recursion into every scalar: this runs for each callback, and most of what it sees is text.
    unseen = [value]
    while unseen:
        element = unseen.pop()
        if isinstance(element, float):
            if not isfinite(element):
                return False
        elif isinstance(element, dict):
            unseen += [below for below in element.values() if not isinstance(below, str)]
        elif isinstance(element, list):
            unseen += element
        elif isinstance(element, WireModel):
            unseen += [element.__dict__, element.model_extra]
    return True
