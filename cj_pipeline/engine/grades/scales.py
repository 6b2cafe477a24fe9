"""This module holds the grade scales of assignments as data: grades, how common each is, and their finer steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cj_pipeline.bt.pairs import FloatArray


@dataclass(frozen=True)
class GradeScale:
    """Grades in order.

    grades: lowest to highest. priors: share of essays expected at each grade, before any is read; they sum to 1.
    below_lowest: the grade of an essay too weak even for the lowest; None when the lowest has no floor.
    minus, plus: grades whose lowest and highest quarter are written as "E-" and "E+".
    """

    name: str
    grades: tuple[str, ...]
    priors: tuple[float, ...]
    below_lowest: str | None = None
    minus: frozenset[str] = frozenset()
    plus: frozenset[str] = frozenset()

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Return every grade an essay can be given, finer ones included, lowest to highest."""
        named = [] if self.below_lowest is None else [self.below_lowest]
        for grade in self.grades:
            named += [f"{grade}-"] if grade in self.minus else []
            named.append(grade)
            named += [f"{grade}+"] if grade in self.plus else []
        return tuple(named)

    @cached_property
    def expected_positions(self) -> FloatArray:
        """Return (K,) where the grades lie on a standard normal quality scale if the priors are right.

        The mean of the slice of the normal distribution that holds a grade's share; rising, and 0 on average over the
        essays.
        """
        normal = NormalDist()
        import numpy as np  # here: `cj admin --help` names the scales

        cuts = np.cumsum(self.priors)[:-1].tolist()
        densities = np.array([0.0, *(normal.pdf(normal.inv_cdf(cut)) for cut in cuts), 0.0])
        positions = -np.diff(densities) / np.array(self.priors)
        positions.setflags(write=False)
        return np.asarray(positions)


SWEDISH = GradeScale(
    name="swedish_8_anchor",
    grades=("F", "E", "D", "D+", "C", "C+", "B", "A"),
    priors=(0.02, 0.08, 0.15, 0.20, 0.25, 0.15, 0.10, 0.05),
    # D+ and C+ are grades of this scale in their own right, so D and C have no plus and B has.
    minus=frozenset({"E", "D", "C", "B", "A"}),
    plus=frozenset({"E", "B"}),
)
LEGACY = GradeScale(
    name="eng5_np_legacy_9_step",
    grades=("F+", "E-", "E+", "D-", "D+", "C-", "C+", "B", "A"),
    priors=(1 / 9,) * 9,
    below_lowest="F",
)
NATIONAL = GradeScale(
    name="eng5_np_national_9_step",
    grades=tuple(str(step) for step in range(1, 10)),
    priors=(1 / 9,) * 9,
    below_lowest="0",
)

SCALES = MappingProxyType({scale.name: scale for scale in (SWEDISH, LEGACY, NATIONAL)})

NORMALIZED = MappingProxyType(
    {
        "A": 1.0,
        "A-": 0.93,
        "B+": 0.87,
        "B": 0.8,
        "B-": 0.73,
        "C+": 0.67,
        "C": 0.6,
        "C-": 0.53,
        "D+": 0.47,
        "D": 0.4,
        "D-": 0.33,
        "E+": 0.27,
        "E": 0.2,
        "E-": 0.13,
        "F+": 0.07,
    }
)
"""Production's published `normalized_score` of a letter grade."""


def scale_named(name: str) -> GradeScale:
    """Return the scale of that name; the Swedish one for an unknown name, as in production (`name in SCALES` tells)."""
    return SCALES.get(name, SWEDISH)


def normalized(grade: str) -> float:
    """Return a published grade as a share of 1; 0 for F, U and everything else that is not in the table."""
    return NORMALIZED.get(grade, 0.0)
