"""This module finds detection limits: for each kind of drift, the smallest size that is found in 80 % of runs.

A drift of any size changes the same draws, so a larger one is found in no fewer of them, but for chance of the kind
that an added error ends a burst. The size is found by halving its logarithm's range.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cj_pipeline.parity.comparison import Comparison, Sample
from cj_pipeline.parity.evidence import POWER
from cj_pipeline.parity.expected import content_key
from cj_pipeline.parity.gates import Gate, Margin
from cj_pipeline.parity.gauntlet.errors import failing_less, failing_more, with_errors
from cj_pipeline.parity.gauntlet.faithful import Faithful
from cj_pipeline.parity.gauntlet.judgements import flipped, forgetful, shifted
from cj_pipeline.parity.gauntlet.measures import scaled, surer, with_confidence, with_latency
from cj_pipeline.parity.gauntlet.tokens import billed, with_tokens
from cj_pipeline.parity.gauntlet.wrong_mock import LeftOut
from cj_pipeline.parity.noise import Noise
from cj_pipeline.parity.power import detection_rate
from cj_pipeline.warehouse.content_cache import ContentCache

DRAWS = 250
"""A rate of 80 % is then known to 2.5 points, which moves a limit by less than its second digit."""

CHEAP = 300
"""Live callbacks up to which the limits of a comparison take about .5 s of CPU."""

_PRECISION = 1.04  # the ratio at which the search ends
_LEAST = 1 / 1024  # of the largest size
_WHOLE = 100.0  # percent


@dataclass(frozen=True, slots=True)
class DetectionLimit:
    """The smallest drift of one kind that is found in 80 % of runs, in each direction.

    up, down: as sizes in the unit; None where not even the largest is found, or the direction is not asked.
    largest: the largest drift that was tried.
    """

    kind: str
    unit: str
    up: float | None
    down: float | None
    both_ways: bool
    largest: float

    @property
    def size(self) -> float | None:
        """The larger of both directions; None where one of them is never found."""
        if self.up is None or not self.both_ways:
            return self.up
        return None if self.down is None else max(self.up, self.down)

    @property
    def found(self) -> bool:
        """Whether some drift of this kind is found, in one direction at least."""
        return self.up is not None or self.down is not None

    @property
    def promises(self) -> tuple[float, ...]:
        """The drifts that the sentence promises to find, upwards first: sizes with their sign, two digits."""
        up, down = self.up, self.down
        if self.size is not None and up is not None and down is not None:
            # Nothing is 160 % faster.
            apart = self.unit == "%" and self.size > _WHOLE
            up, down = (up, down) if apart else (self.size, self.size)
        return tuple(
            sign * promised(size)
            for sign, size in ((1, up), (-1, down))
            if size is not None and (sign > 0 or self.both_ways)
        )

    @property
    def sentence(self) -> str:
        """The limit in words, such as "latency from +-9 %"."""
        if not self.found:
            return f"{self.kind}: none up to {_words(self.largest, self.unit)}"
        sizes = [_words(abs(size), self.unit) for size in self.promises]
        if not self.both_ways:
            return f"{self.kind} from {sizes[0]}"
        if len(sizes) == 1:
            sign, other = ("+", "lower") if self.up is not None else ("-", "higher")
            return f"{self.kind} from {sign}{sizes[0]} (never where it is {other})"
        if sizes[0] == sizes[1]:
            return f"{self.kind} from +-{sizes[0]}"
        return f"{self.kind} from +{sizes[0]} or -{sizes[1]}"


@dataclass(frozen=True, slots=True, eq=False)
class _Drift:
    """A kind of drift. sample: live sides that have drifted by a size, which may be negative."""

    kind: str
    unit: str
    largest: float
    largest_down: float
    sample: Callable[[Faithful, float], Sample | LeftOut]


def limits_of(
    case: Comparison,
    noise: Mapping[str, Noise],
    gates: Mapping[Gate, Margin],
    cached: ContentCache | None = None,
    *,
    cheap: bool = False,
) -> tuple[DetectionLimit, ...] | None:
    """Return the detection limits of a comparison, from the cache where they are there.

    cheap: whether to return None where they are not in the cache and the comparison is large.
    """
    key = content_key(case, "detection limits", gates)
    entry = None if cached is None else cached.get(key)
    if entry is not None and (known := _read(entry)) is not None:
        return known
    if cheap and not is_cheap(case):
        return None
    faithful = Faithful(case, DRAWS)
    found = tuple(limit for drift in DRIFTS if (limit := _limit(faithful, noise, drift)) is not None)
    if cached is not None:
        document = json.dumps([asdict(limit) for limit in found]).encode()
        cached.put(key, {"limits": np.frombuffer(document, np.uint8)})
    return found


def in_words(limits: Sequence[DetectionLimit]) -> str:
    """Return detection limits in one sentence, without its full stop."""
    found = [limit.sentence for limit in limits if limit.found]
    never = [limit.sentence for limit in limits if not limit.found]
    words = f"Would find (in 80 % of runs): {', '.join(found)}" if found else "Would find no drift in 80 % of runs"
    return f"{words}; {', '.join(never)}" if never else words


def limit_values(limit: DetectionLimit) -> dict[str, Any]:
    """Return a detection limit as plain values: a row of the dataset `detection_limits`, its scenario apart."""
    return {**asdict(limit), "sentence": limit.sentence}


def is_cheap(case: Comparison) -> bool:
    """Return whether limits take .5 s of CPU or so: by the size of the comparison, so it is the same everywhere."""
    return len(case.live) <= CHEAP


def _limit(faithful: Faithful, noise: Mapping[str, Noise], drift: _Drift) -> DetectionLimit | None:
    if isinstance(drift.sample(faithful, drift.largest), LeftOut):
        return None

    def found(size: float) -> bool:
        sample = drift.sample(faithful, size)
        return not isinstance(sample, LeftOut) and detection_rate(faithful.case, noise, [sample])[0] >= POWER

    return DetectionLimit(
        drift.kind,
        drift.unit,
        _smallest(found, drift.largest),
        None if drift.largest_down == 0 else _smallest(lambda size: found(-size), drift.largest_down),
        drift.largest_down != 0,
        max(drift.largest, drift.largest_down),
    )


def _smallest(found: Callable[[float], bool], largest: float) -> float | None:
    """Return the smallest size that is found; None where the largest is not."""
    if not found(largest):
        return None
    low, high = largest * _LEAST, largest
    while high > low * _PRECISION:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def _of_wins(faithful: Faithful, size: float, kind: str) -> Sample | LeftOut:
    judge = faithful.judge
    if judge is None:
        return LeftOut("no prompt was answered on both sides")
    if kind == "position":
        answers = shifted(judge, size)
    elif kind == "flips":
        answers = flipped(faithful, judge, size / 100)
    else:
        if not judge.fixed.any():
            return LeftOut("the judge repeats nothing")
        answers = forgetful(faithful, judge, size / 100)
    return Sample(wins=judge.wins(answers))


def _errors(faithful: Faithful, size: float) -> Sample | LeftOut:
    if size >= 0:
        return with_errors(faithful, lambda f, errors: failing_more(f, errors, size / 100))
    return with_errors(faithful, lambda f, errors: failing_less(f, errors, -size / 100))


DRIFTS: tuple[_Drift, ...] = (
    _Drift("latency", "%", 900.0, 100.0, lambda f, size: with_latency(f, scaled(1 + size / 100))),
    _Drift("tokens", "%", 900.0, 100.0, lambda f, size: with_tokens(f, billed(1 + size / 100))),
    _Drift("position", "logits", 6.0, 6.0, lambda f, size: _of_wins(f, size, "position")),
    _Drift("flips", "%", 50.0, 0.0, lambda f, size: _of_wins(f, size, "flips")),
    _Drift("repeats lost", "%", 100.0, 0.0, lambda f, size: _of_wins(f, size, "repeats")),
    _Drift("errors", "% of calls", 100.0, 0.0, _errors),
    _Drift("confidence", "points", 4.0, 4.0, lambda f, size: with_confidence(f, surer(size))),
)


def promised(size: float) -> float:
    """Return a limit as it is printed: two digits, rounded up, since no smaller drift is promised."""
    digits = 1 - math.floor(math.log10(size)) if size > 0 else 0
    return float(math.ceil(size * 10**digits - 1e-9) / 10**digits)


def _words(size: float, unit: str) -> str:
    """Return a size of two digits with its unit."""
    rounded = promised(size)
    return f"{rounded:.0f} {unit}" if rounded >= 10 else f"{rounded:g} {unit}"


def _read(entry: Mapping[str, object]) -> tuple[DetectionLimit, ...] | None:
    try:
        document = np.asarray(entry["limits"]).tobytes()
        return tuple(DetectionLimit(**one) for one in json.loads(document))
    except (KeyError, TypeError, ValueError):
        return None
