"""This module holds each cell against the base, pair of essays by pair, by the statistics of `cj-pipeline parity A B`.

The base is the recorded side and the other cell the live one: noise is what the base's own judge would give if it were
asked the same again, drawn from the judge model that is fitted to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from cj_pipeline.eng5.experiments.measures import CellMeasures
from cj_pipeline.mock.model.answers import FloatArray
from cj_pipeline.parity.check import seed_of
from cj_pipeline.parity.comparison import DRAWS, Comparison, Sample
from cj_pipeline.parity.evidence import SIGNIFICANT, EvidenceVerdict, evidence_of, holm
from cj_pipeline.parity.gate import Direction, Gate
from cj_pipeline.parity.gates import GATES
from cj_pipeline.parity.noise import noise_of
from cj_pipeline.traces.scenario import Profile

CORRECTION = "Holm (1979)"

MEASURED: Mapping[str, str] = {
    "answer_agreement": "same winner, share",
    "anchor_tau": "tau-a against grades",
    "inversions": "worse grade wins, share",
    "winner_share": "first shown wins, share",
    "position_effect": "position effect, logits",
    "error_rate": "errors, share",
    "confidence": "confidence, of 5",
    "tokens_prompt": "prompt tokens",
    "tokens_completion": "completion tokens",
    "latency_mean": "latency, ms",
}
"""The gates of parity that a cell is compared by, in the order of the table, and what people call them with units."""


class Finding(StrEnum):
    """What a difference comes to."""

    DIFFERENT = "different"
    EQUIVALENT = "equivalent"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of one cell against the base, in its unit.

    base, value: on the comparisons that both answered; base is None where the value is compared with what the base
    would give on average when it is asked again. low, high: 95 % interval of the difference. p: two-sided, but for the
    agreement, where only less is worse; None where chance has no part. p_adjusted: Holm, over every test of the table.
    """

    measure: str
    unit: str
    base: float
    value: float
    difference: float
    low: float
    high: float
    p: float | None
    p_adjusted: float | None
    finding: Finding


@dataclass(frozen=True, slots=True)
class Pairing:
    """One cell against the base. common: prompts that both answered; missing: why a measure is not there, by name."""

    cell: CellMeasures
    common: int
    differences: tuple[Difference, ...]
    missing: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PairedTable:
    """All cells against the base. tests: how many p-values were adjusted together; least_p: the least that one can be.

    With many tests no p-value can stay below .05 after the adjustment: then `decidable` is false.
    """

    base: CellMeasures
    pairings: tuple[Pairing, ...]
    tests: int

    @property
    def least_p(self) -> float:
        """The least p-value that so many draws can show, one-sided."""
        return 1 / (DRAWS + 1)

    @property
    def decidable(self) -> bool:
        """Whether a single difference, however large, could stay significant."""
        return 2 * self.least_p * max(self.tests, 1) < SIGNIFICANT


def paired(base: CellMeasures, others: Sequence[CellMeasures], *, on_this_machine: bool = False) -> PairedTable:
    """Hold cells against the base. on_this_machine: whether latency is the load of a host rather than the judge's."""
    found = {other.cell.name: _pairing(base, other, on_this_machine) for other in others}
    tests = {
        (name, one.measure): one.p
        for name, pairing in found.items()
        for one in pairing.differences
        if one.p is not None
    }
    keys = {f"{name}\n{measure}": p for (name, measure), p in tests.items()}
    adjusted = holm(keys)
    return PairedTable(
        base,
        tuple(
            replace(
                pairing,
                differences=tuple(
                    _adjusted(one, adjusted.get(f"{name}\n{one.measure}")) for one in pairing.differences
                ),
            )
            for name, pairing in found.items()
        ),
        len(tests),
    )


def _adjusted(one: Difference, p: float | None) -> Difference:
    """Return a difference with its adjusted p-value; one within the margin is equivalent, however sure it is."""
    significant = p is not None and p < SIGNIFICANT
    finding = Finding.DIFFERENT if significant and one.finding is Finding.OPEN else one.finding
    return replace(one, p_adjusted=p, finding=finding)


def _pairing(base: CellMeasures, other: CellMeasures, on_this_machine: bool) -> Pairing:
    place = {grade: number for number, grade in enumerate(base.case.scale)}
    comparison = Comparison(
        recordings=(base.answers,),
        live=other.answers,
        items=base.case.items,
        grades={essay: place[grade] for essay, grade in base.case.grades.items()},
        seed=seed_of((base.answers,)),
        host_latency=on_this_machine,
    )
    missing = {gate.name: reason for gate in _GATES if (reason := gate.missing(comparison)) is not None}
    gates = {gate: gate.margin(comparison, gate.limits[Profile.JUDGE]) for gate in _GATES if gate.name not in missing}
    noise = noise_of(comparison, gates) if gates else {}
    values = {name: float(one.gate.statistic(comparison, comparison.observed)[0]) for name, one in noise.items()}
    observed = {name: values[name] - one.reference for name, one in noise.items()}
    evidence = evidence_of(comparison, noise, observed, {})
    differences = []
    for name, one in noise.items():
        by_chance = len(one.differences) > 1
        found = evidence[name]
        if by_chance:
            finding = Finding.EQUIVALENT if found.verdict is EvidenceVerdict.EQUIVALENT else Finding.OPEN
        else:
            within = found.margin.low <= observed[name] <= found.margin.high
            finding = Finding.EQUIVALENT if within else Finding.DIFFERENT
        differences.append(
            Difference(
                measure=name,
                unit=one.gate.unit,
                base=one.reference,
                value=values[name],
                difference=observed[name],
                low=found.low,
                high=found.high,
                p=one.p_value(observed[name]) if by_chance else None,
                p_adjusted=None,
                finding=finding,
            )
        )
    common = 0 if comparison.common is None else len(comparison.common.wins)
    return Pairing(other, common, tuple(differences), missing)


def _refitted_position(case: Comparison, sample: Sample) -> FloatArray:
    """The position effect of the live answers, fitted again: one step from the base is for small drifts only."""
    if sample.wins is None:
        raise AssertionError("a gate of answers without answers")
    return np.asarray(case.prompts.refit(sample.wins)[:, -1])


def _measured() -> tuple[Gate, ...]:
    """Return the gates in the order of the table. An experiment may also find a better judge, so tau has two sides."""
    changes: Mapping[str, Mapping[str, Any]] = {
        "anchor_tau": {"direction": Direction.BOTH},
        "position_effect": {"statistic": _refitted_position, "recorded": _refitted_position},
    }
    known = {gate.name: gate for gate in GATES}
    return tuple(replace(known[name], **changes.get(name, {})) for name in MEASURED)


_GATES = _measured()
