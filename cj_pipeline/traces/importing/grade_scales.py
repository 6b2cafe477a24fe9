"""This module turns the grade scales that sources name into a scenario's list: best to worst.

The engine has the same three scales; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from cj_pipeline.foundation.errors import CjPipelineError

# Steps best to worst; behind them finer or lower grades that an essay may have without being a step of the scale.
STEPS = MappingProxyType(
    {
        "swedish_8_anchor": ("A", "B", "C+", "C", "D+", "D", "E", "F"),
        "eng5_np_legacy_9_step": ("A", "B", "C+", "C-", "D+", "D-", "E+", "E-", "F+"),
        "eng5_np_national_9_step": ("9", "8", "7", "6", "5", "4", "3", "2", "1"),
    }
)
OUTCOMES = MappingProxyType(
    {
        "swedish_8_anchor": ("A", "A-", "B+", "B", "B-", "C+", "C", "C-", "D+", "D", "D-", "E+", "E", "E-", "F"),
        "eng5_np_legacy_9_step": (*STEPS["eng5_np_legacy_9_step"], "F"),
        "eng5_np_national_9_step": (*STEPS["eng5_np_national_9_step"], "0"),
    }
)


class NotOnTheScale(CjPipelineError):
    """A scale nobody knows, or a grade that its scale does not have."""


def net_scale(name: str | None, grades: Iterable[str]) -> tuple[str, ...] | None:
    """Return the scale's steps, with those of its other grades that are in use; None when no essay is graded.

    name: None where the source names no scale; the first that has all the grades is taken then. Raises NotOnTheScale.
    """
    used = set(grades)
    if not used:
        return None
    if name is not None and name not in STEPS:
        raise NotOnTheScale(f"its grade_scale is not known. Known: {', '.join(STEPS)}.")
    for candidate in STEPS if name is None else (name,):
        if used <= set(OUTCOMES[candidate]):
            return tuple(grade for grade in OUTCOMES[candidate] if grade in STEPS[candidate] or grade in used)
    raise NotOnTheScale(
        f"the known grades are not those of {name or 'any known scale'}. Mend them at the source, or give --grades."
    )
