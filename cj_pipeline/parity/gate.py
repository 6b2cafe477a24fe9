"""This module says what a statistical gate is: a statistic, in which direction it matters, with which margin."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from cj_pipeline.mock.model.answers import FloatArray
from cj_pipeline.parity.comparison import DRAWS, Comparison, Sample
from cj_pipeline.traces.scenario import Profile

# The values that are possible at all, by unit.
_SHARE, _CORRELATION, _SIZE = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf)
_BOUNDS = {
    **dict.fromkeys(("share", "share of errors", "share of retries"), _SHARE),
    **dict.fromkeys(("tau-a", "tau-b", "correlation"), _CORRELATION),
    **dict.fromkeys(("ms", "tokens"), _SIZE),
}

Limits = Mapping[str, float]
Statistic = Callable[[Comparison, Sample], FloatArray]


class Direction(StrEnum):
    """Which differences matter."""

    LOW = "low"
    HIGH = "high"
    BOTH = "both"


class Family(StrEnum):
    """Gates that share one rate of false alarms."""

    JUDGEMENTS = "judgements"
    TIME = "time"
    TOKENS = "tokens"
    EVENTS = "events"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Margin:
    """How far a live value may lie from the recorded one before the drift matters, in the gate's unit."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """One statistical gate. `question` is what it asks, `unit` that of its value and of its margin.

    limits: by profile, as a scenario writes them. margin: from those limits to the unit of the gate. recorded: the
    recorded value; None where the live side is compared with what a faithful judge gives on average. floor: the name of
    a limit that is an absolute floor of the live value, as production has it: a gate without noise.
    missing: why the gate says nothing about a comparison. parts: of a sample that the statistic reads.
    """

    name: str
    family: Family
    direction: Direction
    unit: str
    statistic: Statistic
    limits: Mapping[Profile, Limits]
    margin: Callable[[Comparison, Limits], Margin]
    missing: Callable[[Comparison], str | None]
    recorded: Statistic | None = None
    floor: str | None = None
    parts: tuple[str, ...] = ("wins",)
    most_draws: int = DRAWS
    """Of faithful runs; fewer where a draw takes long."""
    most: Callable[[Comparison], float] | None = None
    """The largest value that a live side of this size can have; None where its unit says."""

    @property
    def of_wins(self) -> bool:
        """Whether it is about who won."""
        return "wins" in self.parts

    @property
    def constant(self) -> bool:
        """Whether every faithful run has the same value: what a prompt costs is no chance."""
        return self.parts == ("prompt_tokens",)

    def reads(self, sample: Sample) -> bool:
        """Return whether a sample has all that the statistic needs."""
        return all(getattr(sample, part) is not None for part in self.parts)

    @property
    def question(self) -> str:
        """What the gate measures."""
        return (self.statistic.__doc__ or "").splitlines()[0]

    def bounds(self, case: Comparison) -> tuple[float, float]:
        """Return the least and the largest value that a live side can have."""
        least, most = _BOUNDS.get(self.unit, (-math.inf, math.inf))
        return least, most if self.most is None else self.most(case)

    def reference(self, case: Comparison) -> float | None:
        """Return the recorded value; None where there is none."""
        return None if self.recorded is None else float(self.recorded(case, case.recorded_sample)[0])
