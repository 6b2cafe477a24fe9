"""This module draws whole numbers whose mean, extremes and percentiles are known.

An interpolated percentile reads one or two order statistics. Those are pinned first; the values between two pins
follow a straight line with jitter, except in the longest stretch, which is bent so that the mean comes out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cj_pipeline.foundation.numbers import percentile_rank
from cj_pipeline.foundation.seeding import KeyPart, uniform
from cj_pipeline.traces.reconstruct.published import CannotReconstruct, Figure

if TYPE_CHECKING:
    from collections.abc import Mapping

# Distance, in the sample's unit, at which two neighbouring order statistics in the upper tail look natural.
TYPICAL_GAP = 20
WIDEST_GAP = 5000
# Kumaraswamy's a: at 1 the values crowd at the lower bound, from 2 on they leave a hole below the upper one.
SHAPE = 1.4


def sample(n: int, mean: Figure, percentiles: Mapping[float, Figure], name: str, *key: KeyPart) -> list[int]:
    """Draw sorted whole numbers that have the mean and the percentiles.

    n: how many. percentiles: by p, 0 to 100. Together they must read the smallest and the largest value.
    name: what the numbers are, for the complaint. key: of the draws.
    Raises CannotReconstruct when no such sample is found.
    """
    pins = _pins(n, percentiles, name)
    values = dict(pins)
    stretches = [(low, high) for low, high in zip(sorted(pins), sorted(pins)[1:], strict=False) if high - low > 1]
    stretches.sort(key=lambda stretch: stretch[1] - stretch[0])
    for low, high in stretches[:-1]:
        for index in range(low + 1, high):
            share = (index - low - 0.5 + uniform(*key, "between", index)) / (high - low)
            values[index] = round(pins[low] + (pins[high] - pins[low]) * share)
    missing = round(mean.value * n) - sum(values.values())
    if stretches:
        low, high = stretches[-1]
        bent = _bent(high - low - 1, (pins[low], pins[high]), missing, name, key)
        values.update(zip(range(low + 1, high), bent, strict=True))
    elif not mean.holds(sum(values.values()) / n):
        raise CannotReconstruct("the percentiles leave no room for the mean", field=name)
    return sorted(values.values())


def _pins(n: int, percentiles: Mapping[float, Figure], name: str) -> dict[int, int]:
    """Order statistics, by 0-based index, at which every percentile holds."""
    pins: dict[int, int] = {}
    between: dict[int, list[tuple[float, Figure]]] = {}
    for p, figure in sorted(percentiles.items()):
        below, fraction = percentile_rank(n, p)
        if fraction == 0.0:
            pins[below] = round(figure.value)
        else:
            between.setdefault(below, []).append((fraction, figure))
    for below, readings in sorted(between.items()):
        pair = _neighbours(readings, pins.get(below), pins.get(below + 1))
        if pair is None:
            raise CannotReconstruct(f"no whole numbers have the percentiles at rank {below} of {n}", field=name)
        pins[below], pins[below + 1] = pair
    if not {0, n - 1} <= set(pins):
        raise CannotReconstruct("give (or assume) the smallest and the largest value", field=name)
    if sorted(pins.values()) != [pins[index] for index in sorted(pins)]:
        raise CannotReconstruct("the percentiles are not in order", field=name)
    return pins


def _neighbours(readings: list[tuple[float, Figure]], lower: int | None, upper: int | None) -> tuple[int, int] | None:
    """Find two neighbouring values at which all readings hold, with the gap nearest to a natural one.

    lower, upper: what either of them has to be already.
    """
    fraction, figure = readings[0]
    for gap in sorted(range(WIDEST_GAP), key=lambda gap: abs(gap - TYPICAL_GAP)):
        if lower is not None:
            start = lower
        elif upper is not None:
            start = upper - gap
        else:
            start = round(figure.value - gap * fraction)
        if upper in (None, start + gap) and all(f.holds(start + gap * share) for share, f in readings):
            return start, start + gap
    return None


def _bent(n: int, bounds: tuple[int, int], total: int, name: str, key: tuple[KeyPart, ...]) -> list[int]:
    """Draw values within bounds that add up to `total`, on one hump that leans the way the mean wants.

    Quantiles of Kumaraswamy's distribution, x = (1 - (1 - u)^(1/b))^(1/a) on [0, 1]; b is found by halving.
    """
    low, high = bounds
    if not n * low <= total <= n * high:
        raise CannotReconstruct(f"a mean that needs {n} values in {low}..{high} to add up to {total}", field=name)
    # One draw per n-th of the unit interval: an even spread, whatever the key.
    positions = [(index + uniform(*key, "bent", index)) / n for index in range(n)]

    def hump(b: float) -> list[int]:
        return [round(low + (high - low) * (1 - (1 - position) ** (1 / b)) ** (1 / SHAPE)) for position in positions]

    right, left = 1e-3, 1e6  # the larger b, the further left the hump, the smaller the sum
    for _ in range(80):
        middle = math.sqrt(right * left)
        right, left = (middle, left) if sum(hump(middle)) > total else (right, middle)
    values = hump(left)
    # What rounding left over, one unit at a time, in an order that belongs to the key.
    step = 1 if sum(values) < total else -1
    order = sorted(range(n), key=lambda index: uniform(*key, "remainder", index))
    while sum(values) != total:
        for index in order:
            if sum(values) != total and low <= values[index] + step <= high:
                values[index] += step
    return values
