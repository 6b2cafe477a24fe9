"""This module says how much a comparison proves of one gate, apart from whether the gate passed.

Everything comes from the draws that set the gate's noise: intervals, p-values, the smallest drift that would be found.

    EQUIVALENT    the 90 % interval of the difference lies inside the margin
    DIFFERENT     not EQUIVALENT, the difference lies outside the margin, and p < .05 after Holm; or the gate fails
    INCONCLUSIVE  anything else, with what would settle it
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.gate import Direction, Gate, Margin
from cj_pipeline.parity.noise import Noise

SIGNIFICANT = 0.05
POWER = 0.8
LEAST_ANSWERS = 3
"""Two values a side settle nothing, however equal they are."""


class EvidenceVerdict(StrEnum):
    """What the interval says."""

    EQUIVALENT = "EQUIVALENT"
    DIFFERENT = "DIFFERENT"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Evidence:
    """An interval for live minus recorded, in the unit of the gate, and what follows.

    low, high: 95 % interval. margin, noise, tolerance: as differences. p: Holm-adjusted over all gates.
    detectable: the smallest drift, as a distance, that this comparison finds with 80 % power; inf where none.
    observations: on each side. needed: how many of the side with fewer would settle it; None where it is settled, or
    nobody can say. says_nothing: whether a fair coin would pass the gate more often than not.
    """

    verdict: EvidenceVerdict
    difference: float
    low: float
    high: float
    margin: Margin
    noise: Margin
    p: float
    detectable: float
    observations: tuple[int, int]
    settling: str
    says_nothing: bool = False
    needed: int | None = None

    @property
    def limited_by(self) -> str:
        """The side with fewer observations."""
        return "recorded" if self.observations[0] <= self.observations[1] else "live"

    def sentence(self, unit: str) -> str:
        """In words, with unit and what would settle it."""
        words = (
            f"{self.verdict}: difference {self.difference:.4g} {unit}, 95 % interval [{self.low:.4g}, {self.high:.4g}]"
        )
        found = f"a drift of {self.detectable:.3g}" if math.isfinite(self.detectable) else "no drift"
        words += f"; {found} would be found in 80 % of runs"
        if self.says_nothing:
            words += "; a fair coin would pass this gate more often than not"
        return f"{words}. {self.settling}".strip()


def evidence_of(
    case: Comparison, noise: Mapping[str, Noise], observed: Mapping[str, float], coin: Mapping[str, float]
) -> dict[str, Evidence]:
    """Return the evidence of each gate. observed: live minus reference; coin: how often a fair coin fails it."""
    adjusted = holm({name: one.p_value(observed[name]) for name, one in noise.items()})
    return {name: _evidence(case, one, observed[name], adjusted[name], coin.get(name)) for name, one in noise.items()}


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values adjusted for their number (Holm, 1979)."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - rank) * p_values[name]))
        adjusted[name] = largest
    return adjusted


def _evidence(case: Comparison, noise: Noise, difference: float, p: float, coin: float | None) -> Evidence:
    margin, ordered = noise.margin, noise.differences
    n = observations(case, noise.gate)
    centred = ordered - ordered.mean()
    # A sample without spread is not certainty: one more answer could be another one.
    least = 0.0 if len(ordered) == 1 else _least_spread(noise, min(n))
    low, high = (difference - float(np.quantile(centred, q)) for q in (0.975, 0.025))
    inner = [difference - float(np.quantile(centred, q)) for q in (0.95, 0.05)]
    low, high = min(low, difference - least), max(high, difference + least)
    inside = margin.low <= min(inner[0], difference - least) and max(inner[1], difference + least) <= margin.high
    outside = not margin.low <= difference <= margin.high
    failed = bool(noise.beyond(np.array([difference]))[0])
    if failed:
        verdict = EvidenceVerdict.DIFFERENT
    elif inside and min(n) >= LEAST_ANSWERS:
        verdict = EvidenceVerdict.EQUIVALENT
    elif outside and p < SIGNIFICANT and min(n) >= LEAST_ANSWERS:
        verdict = EvidenceVerdict.DIFFERENT
    else:
        verdict = EvidenceVerdict.INCONCLUSIVE
    needed = _needed(noise, n, inner) if verdict is EvidenceVerdict.INCONCLUSIVE else None
    return Evidence(
        verdict,
        difference,
        low,
        high,
        margin,
        Margin(noise.low, noise.high),
        p,
        _detectable(case, noise),
        n,
        _settling(needed, n) if verdict is EvidenceVerdict.INCONCLUSIVE else "",
        says_nothing=coin is not None and coin < 0.5,
        needed=needed,
    )


def observations(case: Comparison, gate: Gate) -> tuple[int, int]:
    """Return how many observations a gate has on each side: prompts, answers or calls."""
    if gate.of_wins:
        return (0, 0) if case.asked is None else (int(case.asked.recorded.sum()), int(case.asked.answers.sum()))
    if gate.family.value == "events":
        return len(case.recorded), len(case.live)
    known = "rated" if "confidence" in gate.parts else "answered" if gate.parts == ("latency_ms",) else "billed"
    return int(getattr(case.recorded, known).sum()), int(getattr(case.live, known).sum())


def _least_spread(noise: Noise, n: int) -> float:
    """Half of what one odd answer would move a mean by; 0 where draws vary anyway."""
    spread = float(noise.differences[-1] - noise.differences[0])
    if spread > 0 or n >= LEAST_ANSWERS:
        return 0.0
    return math.inf


def _detectable(case: Comparison, noise: Noise) -> float:
    """The smallest shift, to the side where it is found later, that lies beyond the tolerance in 80 % of runs.

    A side on which no value of the gate lies so far away does not count; inf where that is so on each.
    """
    tolerance, ordered = noise.tolerance, noise.differences
    up = tolerance.high - float(np.quantile(ordered, 1 - POWER))
    down = float(np.quantile(ordered, POWER)) - tolerance.low
    least, most = noise.gate.bounds(case)
    reach = {Direction.HIGH: (up, most - noise.reference), Direction.LOW: (down, noise.reference - least)}
    sides = [reach[noise.gate.direction]] if noise.gate.direction in reach else list(reach.values())
    return max((shift for shift, room in sides if shift < room), default=math.inf)


def _needed(noise: Noise, n: tuple[int, int], inner: list[float]) -> int | None:
    """Return how many observations would make the 90 % interval fit into the margin, on the side that limits."""
    reach = max(abs(value - (inner[0] + inner[1]) / 2) for value in inner)
    room = min(abs(noise.margin.low), abs(noise.margin.high))
    if min(n) < LEAST_ANSWERS or not math.isfinite(reach) or room <= 0 or reach <= 0:
        return None
    return math.ceil(min(n) * max((reach / room) ** 2, 1.0) * 1.7)


def _settling(needed: int | None, n: tuple[int, int]) -> str:
    """Say what would settle it, for the side that limits."""
    if min(n) < LEAST_ANSWERS:
        return "Two values a side settle nothing"
    if needed is None:
        return ""
    side = "recorded" if n[0] <= n[1] else "live"
    other = "; more live ones do not help" if n[0] < n[1] else ""
    return f"Settling it takes about {needed} {side} observations (there are {min(n)}){other}"
