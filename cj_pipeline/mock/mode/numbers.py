"""This module holds the numbers that a mode file may have: strict types, and the rule for a list of quantiles."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field

# Strict: in YAML a quoted number or a `yes` where a number belongs is a slip.
Number = Annotated[float, Field(strict=True)]
NonNegative = Annotated[float, Field(strict=True, ge=0.0)]
Positive = Annotated[float, Field(strict=True, gt=0.0)]
Probability = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
Confidence15 = Annotated[float, Field(strict=True, ge=1.0, le=5.0)]
Count = Annotated[int, Field(strict=True, ge=0)]
PositiveCount = Annotated[int, Field(strict=True, ge=1)]
Switch = Annotated[bool, Field(strict=True)]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def non_decreasing(values: tuple[float, ...]) -> tuple[float, ...]:
    """The values as they are. Raises ValueError naming the first that is less than the one before it."""
    for position, (low, high) in enumerate(pairwise(values)):
        if high < low:
            raise ValueError(f"quantiles must not decrease: {high:g} follows {low:g} at index {position + 1}")
    return values
