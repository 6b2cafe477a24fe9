"""This module evaluates a boundary test: anchors of neighbouring grades, asked again and again in both orders.

Three questions, each with a 95 % interval: does the better grade win, does the essay shown first win, and does the
judge say the same when the order is swapped?
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.reasons import CONFIDENCE_KNOWN
from cj_pipeline.eng5.design import boundary_pairs
from cj_pipeline.eng5.facts import Asked, RunFacts
from cj_pipeline.foundation.text import markdown_text
from cj_pipeline.warehouse.files import write_output

# Of the standard normal distribution.
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval; all None where nothing is known."""

    value: float | None
    low: float | None
    high: float | None

    def in_words(self, digits: int = 2) -> str:
        """Return it as a table shows it.

        >>> share(8, 10).in_words()
        '0.80 (0.49 to 0.94)'
        """
        if self.value is None:
            return "-"
        around = "" if self.low is None else f" ({self.low:.{digits}f} to {self.high:.{digits}f})"
        return f"{self.value:.{digits}f}{around}"


UNKNOWN = Estimate(None, None, None)


@dataclass(frozen=True, slots=True)
class BoundaryPair:
    """One pair. win_rate: of the better grade. confidence: mean, 1 to 5. position_bias: how much more often than half
    the essay shown first won. agreement: share of repetitions in which both orders have the same winner.
    """

    higher: str
    lower: str
    asked: int
    answered: int
    wins_of_higher: int
    win_rate: Estimate
    confidence: Estimate
    position_bias: Estimate
    agreement: Estimate


@dataclass(frozen=True, slots=True)
class Boundary:
    """A whole test; position_bias and agreement over all pairs."""

    repetitions: int
    pairs: tuple[BoundaryPair, ...]
    position_bias: Estimate
    agreement: Estimate


def share(count: int, total: int) -> Estimate:
    """Return a share with Wilson's interval."""
    if not total:
        return UNKNOWN
    p, z2 = count / total, Z95**2
    middle = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * sqrt(p * (1 - p) / total + z2 / (4 * total**2))
    return Estimate(p, max(0.0, middle - half), min(1.0, middle + half))


def mean(values: Sequence[float]) -> Estimate:
    """Return a mean with Student's interval; none of one value, whose spread is unknown."""
    if not values:
        return UNKNOWN
    average = float(np.mean(values))
    if len(values) == 1:
        return Estimate(average, None, None)
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / sqrt(len(values)))
    return Estimate(average, average - half, average + half)


def boundary(
    pairs: Iterable[tuple[str, str]], callbacks: Sequence[LLMComparisonResultV1], repetitions: int
) -> Boundary:
    """Evaluate the answers. pairs: the better grade first; callbacks: in the order in which they were asked."""
    by_order: defaultdict[tuple[str, str], list[LLMComparisonResultV1]] = defaultdict(list)
    for callback in callbacks:
        by_order[callback.essay_ids()].append(callback)
    found, first_wins, answered, agreed, both = [], 0, 0, 0, 0
    for higher, lower in pairs:
        there, back = by_order[higher, lower], by_order[lower, higher]
        one, wins, same, repeated = _pair(higher, lower, there, back, repetitions)
        found.append(one)
        first_wins, answered, agreed, both = first_wins + wins, answered + one.answered, agreed + same, both + repeated
    return Boundary(repetitions, tuple(found), _bias(first_wins, answered), share(agreed, both))


def boundary_of(facts: RunFacts) -> Boundary:
    """Evaluate a run that asked for one."""
    if facts.asked is None or facts.answers is None:
        raise AssertionError("a boundary test without answers")
    pairs = boundary_pairs(facts.options, facts.asked, facts.grade_scale)
    callbacks = [event.data for event in facts.answers.events]
    return boundary(pairs, callbacks, facts.options.boundary.repetitions)


def boundary_block(facts: RunFacts) -> dict[str, Any]:
    """Return the artefact's block `boundary`."""
    found = boundary_of(facts)
    grades = {} if facts.asked is None else {name: essay.grade for name, essay in facts.asked.essays.items()}
    pairs = [
        {**asdict(pair), "higher_grade": grades.get(pair.higher), "lower_grade": grades.get(pair.lower)}
        for pair in found.pairs
    ]
    return {**asdict(found), "pairs": pairs}


def write_boundary(facts: RunFacts, asked: Asked, moment: datetime) -> tuple[Path, ...]:
    """Write the report of a test, and return its file."""
    labels = {name: markdown_text(f"{essay.stem} ({essay.grade or '?'})") for name, essay in asked.essays.items()}
    title = markdown_text(f"Boundary test of {facts.options.batch_id}")
    label = re.sub(r"[^A-Za-z0-9._-]+", "_", facts.options.batch_id).strip("._")[:80] or "run"
    path = facts.options.output_dir / f"boundary_{label}_{moment:%Y%m%dT%H%M%SZ}.md"
    return (write_output(path, f"# {title}\n\n{boundary_markdown(boundary_of(facts), labels)}"),)


def boundary_markdown(found: Boundary, labels: Mapping[str, str]) -> str:
    """Return the test as a table."""
    lines = [
        "| better grade | worse grade | asked | answered | better won | confidence | first won, beyond half "
        "| same in both orders |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for pair in found.pairs:
        lines.append(
            f"| {labels[pair.higher]} | {labels[pair.lower]} | {pair.asked} | {pair.answered} "
            f"| {pair.win_rate.in_words()} | {pair.confidence.in_words(1)} | {pair.position_bias.in_words()} "
            f"| {pair.agreement.in_words()} |"
        )
    lines += [
        "",
        f"All pairs: the essay shown first won {found.position_bias.in_words()} more often than half of the time; both "
        f"orders had the same winner in {found.agreement.in_words()} of the repetitions. In brackets: 95 % intervals.",
    ]
    return "\n".join(lines) + "\n"


def _pair(
    higher: str, lower: str, there: list[LLMComparisonResultV1], back: list[LLMComparisonResultV1], repetitions: int
) -> tuple[BoundaryPair, int, int, int]:
    """Return the pair, wins of the essay shown first, repetitions with one winner, and those with two answers."""
    winners = [(callback.winning_essay(), callback.essay_ids()[0]) for callback in (*there, *back)]
    decided = [(winner, first) for winner, first in winners if winner is not None]
    wins = sum(winner == higher for winner, _ in decided)
    first_wins = sum(winner == first for winner, first in decided)
    twice = [
        (one.winning_essay(), other.winning_essay())
        for one, other in zip(there, back, strict=False)
        if one.succeeded and other.succeeded
    ]
    same = sum(one == other for one, other in twice)
    confidences = [
        callback.confidence
        for callback in (*there, *back)
        if callback.confidence is not None and callback.request_metadata.get(CONFIDENCE_KNOWN) is not False
    ]
    pair = BoundaryPair(
        higher=higher,
        lower=lower,
        asked=2 * repetitions,
        answered=len(decided),
        wins_of_higher=wins,
        win_rate=share(wins, len(decided)),
        confidence=mean(confidences),
        position_bias=_bias(first_wins, len(decided)),
        agreement=share(same, len(twice)),
    )
    return pair, first_wins, same, len(twice)


def _bias(first_wins: int, answered: int) -> Estimate:
    found = share(first_wins, answered)
    if found.value is None or found.low is None or found.high is None:
        return UNKNOWN
    return Estimate(found.value - 0.5, found.low - 0.5, found.high - 0.5)
