"""This module says what a recorded judge is like, in counts and plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.reasons import CONFIDENCE_KNOWN, COST_KNOWN, PRICE, REASON, is_measured
from cj_pipeline.foundation.numbers import percentile
from cj_pipeline.traces.reader import read_callbacks
from cj_pipeline.traces.store import trace_recordings

Callbacks = Sequence[LLMComparisonResultV1]

# Models that are not held to whole numbers write any fraction.
MOST_CONFIDENCES = 9


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    count: int
    of: int

    def __str__(self) -> str:
        return f"{self.count} of {self.of}" + (f" ({self.count / self.of:.2f})" if self.of else "")


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean, median, 95 % quantile and largest of some figures."""

    mean: float
    p50: float
    p95: float
    largest: float


@dataclass(frozen=True, slots=True)
class JudgePortrait:
    """What the callbacks of one or more runs of a judge add up to.

    errors: by code and, where it is known, reason. first_shown: answers that prefer the essay shown first.
    better_grade: of the answers about two different known grades, those for the better one. same_answer: of the
    comparisons that two runs answered in the same order, those with the same winner. confidences: by value.
    latency_s: of answers. prompt_tokens, completion_tokens: of those whose tokens are known; tokens_unknown: how many
    others there are. cost_usd: None where no price is known.
    """

    runs: int
    asked: int
    answered: Share
    errors: Mapping[str, int]
    first_shown: Share
    better_grade: Share
    same_answer: Share
    confidences: Mapping[str, int]
    latency_s: Spread | None
    prompt_tokens: Spread | None
    completion_tokens: Spread | None
    tokens_unknown: int
    cost_usd: float | None


def portrait_of_trace(folder: Path) -> JudgePortrait:
    """Return the portrait of the judge of a trace folder, over all its recordings. Raises BadInput as read_trace."""
    scenario, recordings = trace_recordings(folder)
    place = {grade: number for number, grade in enumerate(scenario.net.grade_scale or ())}
    grades = {item.id: place[item.grade] for item in scenario.net.items if item.grade is not None}
    return portrait_of([[line.event.data for line in read_callbacks(one.path).events] for one in recordings], grades)


def portrait_of(runs: Sequence[Callbacks], grades: Mapping[str, int]) -> JudgePortrait:
    """Return the portrait of a judge. grades: place of each graded essay's grade, 0 for the best."""
    every = [callback for run in runs for callback in run]
    answers = [callback for callback in every if callback.succeeded]
    counted = [answer.token_usage for answer in answers if is_measured(answer.request_metadata)]
    return JudgePortrait(
        runs=len(runs),
        asked=len(every),
        answered=Share(len(answers), len(every)),
        errors=dict(Counter(_reason(callback) for callback in every if not callback.succeeded).most_common()),
        first_shown=Share(sum(one.winner is Winner.A for one in answers), len(answers)),
        better_grade=_better_grade(answers, grades),
        same_answer=_same_answer(runs),
        confidences=_confidences(answers),
        latency_s=_spread([one.response_time_ms / 1000 for one in answers]),
        prompt_tokens=_spread([one.prompt_tokens for one in counted]),
        completion_tokens=_spread([one.completion_tokens for one in counted]),
        tokens_unknown=len(answers) - len(counted),
        cost_usd=_cost(every),
    )


def _reason(callback: LLMComparisonResultV1) -> str:
    error = callback.error_detail
    if error is None:
        return ""
    reason = (error.details or {}).get(REASON)
    return f"{error.error_code} ({reason})" if isinstance(reason, str) else str(error.error_code)


def _cost(every: Callbacks) -> float | None:
    """Return dollars, those of failures included; None where the price of an answer is unknown."""
    if any(one.request_metadata.get(COST_KNOWN) is False for one in every if one.succeeded):
        return None
    failed = [(one.error_detail.details or {}).get(PRICE, 0.0) for one in every if one.error_detail is not None]
    billed = [float(usd) for usd in failed if isinstance(usd, int | float)]
    return sum(one.cost_estimate for one in every) + sum(billed)


def _better_grade(answers: Callbacks, grades: Mapping[str, int]) -> Share:
    better = of = 0
    for answer in answers:
        first, second = (grades.get(essay) for essay in answer.essay_ids())
        if first is None or second is None or first == second:
            continue
        of += 1
        better += (answer.winner is Winner.A) == (first < second)
    return Share(better, of)


def _same_answer(runs: Sequence[Callbacks]) -> Share:
    by_order = [{one.essay_ids(): one.winner for one in run if one.succeeded} for run in runs]
    same = of = 0
    for one, other in combinations(by_order, 2):
        common = one.keys() & other.keys()
        of += len(common)
        same += sum(one[shown] is other[shown] for shown in common)
    return Share(same, of)


def _confidences(answers: Callbacks) -> dict[str, int]:
    """Count confidences as they came; rounded to whole ones where there are too many to look at."""
    known = [one.confidence for one in answers if one.request_metadata.get(CONFIDENCE_KNOWN) is not False]
    values = [value for value in known if value is not None]
    if len(set(values)) > MOST_CONFIDENCES:
        values = [round(value) for value in values]
    counts = {f"{value:g}": count for value, count in sorted(Counter(values).items())}
    unknown = len(answers) - len(values)
    return {**counts, **({"unknown": unknown} if unknown else {})}


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return Spread(sum(values) / len(values), percentile(values, 50), percentile(values, 95), max(values))
