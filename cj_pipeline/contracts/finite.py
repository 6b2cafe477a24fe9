"""Numbers that JSON does not have, found in a message before they get any further.

Here: NaN, the infinities, and literals beyond a double. The models refuse them in their own fields; their check does
not reach into free-form metadata, where such a number would be echoed as null.
"""

from __future__ import annotations

import json
import re
from math import isfinite

# Where a number that no double holds may stand: a constant, an exponent of three digits, or very many digits.
_MAYBE_NOT_FINITE = re.compile(rb"NaN|Infinity|[eE]\+?\d{3}|\d{200}")


def has_non_finite_number(message: bytes) -> bool:
    """Whether a number that is not finite stands anywhere in a message that a model has accepted.

    Only for what a model has accepted: its parser bounds the nesting, Python's does not.
    """
    if not _MAYBE_NOT_FINITE.search(message):
        return False
    found: list[float] = []

    def note(literal: str) -> float:
        number = float(literal)
        if not isfinite(number):
            found.append(number)
        return number

    json.loads(message, parse_constant=note, parse_float=note)
    return bool(found)
