"""This module says how far a faithful run lies from the recording by chance, and sets the limits of gates.

Each family of gates turns down a faithful run in .2 % of cases, whatever the number of its gates: within a family every
gate is put on one scale, its p-value among its own draws, draws within the margin count as 0, and the limit is the .998
quantile of the largest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cj_pipeline.mock.model.answers import FloatArray
from cj_pipeline.parity.comparison import DRAWS, Comparison, Sample
from cj_pipeline.parity.gate import Direction, Gate, Margin
from cj_pipeline.parity.tails import smoothed

FALSE_ALARM = 0.002
"""Share of faithful runs that one family of gates turns down."""


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """What one gate makes of faithful runs.

    reference: what the live value is compared with. differences: (d,) sorted, of faithful live values from it.
    low, high: the differences beyond which no more than the family's share of faithful runs lie.
    """

    gate: Gate
    margin: Margin
    reference: float
    differences: FloatArray
    low: float
    high: float

    @property
    def tolerance(self) -> Margin:
        """The larger of margin and noise, on each side."""
        return Margin(min(self.margin.low, self.low), max(self.margin.high, self.high))

    def beyond(self, differences: FloatArray) -> FloatArray:
        """Return (d,) whether each difference is strictly beyond the tolerance."""
        tolerance, slack = self.tolerance, 1e-9 * max(1.0, abs(self.reference))
        return np.asarray((differences < tolerance.low - slack) | (differences > tolerance.high + slack))

    def p_value(self, difference: float) -> float:
        """Share of faithful runs that lie at least as far from the recording, by the gate's own direction."""
        n = len(self.differences)
        below = (1 + np.searchsorted(self.differences, difference, "right")) / (n + 1)
        above = (1 + n - np.searchsorted(self.differences, difference, "left")) / (n + 1)
        return float(min(1.0, _tails(self.gate.direction, np.array([below]), np.array([above]))[0]))


def noise_of(case: Comparison, gates: Mapping[Gate, Margin]) -> dict[str, Noise]:
    """Return the noise of some gates by name. gates: with their margins; only those that apply to the comparison."""
    drawn = values_of(case, tuple(gates))
    found: dict[str, Noise] = {}
    for family in {gate.family: None for gate in gates}:
        members = [gate for gate in gates if gate.family == family]
        found |= _family(case, {gate: gates[gate] for gate in members}, drawn)
    return {gate.name: found[gate.name] for gate in gates}


def values_of(case: Comparison, gates: tuple[Gate, ...]) -> dict[str, FloatArray]:
    """Return (d,) values of each gate over faithful live sides."""
    parts: dict[str, list[FloatArray]] = {gate.name: [] for gate in gates}
    for number, sample in enumerate(case.faithful()):
        for gate in gates:
            there = sum(map(len, parts[gate.name]))
            if gate.reads(sample) and there < gate.most_draws and (number == 0 or not gate.constant):
                parts[gate.name].append(gate.statistic(case, sample)[: gate.most_draws - there])
    return {name: np.concatenate(values) for name, values in parts.items()}


def _full(case: Comparison, drawn: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return values of one family, each with all draws or one: where there are fewer, their tails are smoothed."""
    few = [name for name, values in drawn.items() if 1 < len(values) < DRAWS]
    if not few:
        return dict(drawn)
    size = min(len(drawn[name]) for name in few)
    columns = smoothed(np.stack([drawn[name][:size] for name in few]), DRAWS, case.generator("tails"))
    return {**drawn, **dict(zip(few, columns, strict=True))}


def _family(case: Comparison, margins: Mapping[Gate, Margin], drawn: Mapping[str, FloatArray]) -> dict[str, Noise]:
    references, sorted_differences, scaled = {}, {}, []
    drawn = _full(case, {gate.name: drawn[gate.name] for gate in margins})
    for gate, margin in margins.items():
        values = drawn[gate.name]
        reference = gate.reference(case)
        references[gate] = float(values.mean()) if reference is None else reference
        differences = values - references[gate]
        ordered = np.sort(differences)
        sorted_differences[gate] = ordered
        n = len(ordered)
        score = np.zeros(n)
        outside = np.flatnonzero((differences < margin.low) | (differences > margin.high))
        # Looking up sorted values takes a tenth of the time.
        outside = outside[np.argsort(differences[outside])]
        apart = differences[outside]
        below = np.searchsorted(ordered, apart, "right") / n
        above = (n - np.searchsorted(ordered, apart, "left")) / n
        score[outside] = -np.log(_tails(gate.direction, below, above))
        scaled.append(score)
    # A gate without chance has one draw.
    largest = np.max(np.broadcast_arrays(*scaled), axis=0)
    limit = float(np.quantile(largest, 1 - FALSE_ALARM, method="higher"))
    share = float(np.exp(-limit))
    return {
        gate.name: Noise(
            gate, margin, references[gate], sorted_differences[gate], *_limits(gate, sorted_differences[gate], share)
        )
        for gate, margin in margins.items()
    }


def _limits(gate: Gate, ordered: FloatArray, share: float) -> tuple[float, float]:
    """Return the outermost differences whose p-value is at least a share; infinite on a side that does not matter."""
    tail = share / 2 if gate.direction is Direction.BOTH else share
    n = len(ordered)
    rank = min(max(int(np.ceil(tail * n - 1e-9)), 1), n)
    low = float(ordered[rank - 1]) if gate.direction is not Direction.HIGH else -np.inf
    high = float(ordered[n - rank]) if gate.direction is not Direction.LOW else np.inf
    return low, high


def _tails(direction: Direction, below: FloatArray, above: FloatArray) -> FloatArray:
    if direction is Direction.LOW:
        return below
    if direction is Direction.HIGH:
        return above
    return np.asarray(np.minimum(1.0, 2 * np.minimum(below, above)))


def differences(case: Comparison, noise: Noise, sample: Sample) -> FloatArray:
    """Return (d,) differences of a sample's values from what they are compared with."""
    return noise.gate.statistic(case, sample) - noise.reference
