"""What a set of callbacks adds up to: counts, winners, errors, latency, tokens.

Here: `summary.json` as production writes it, and the percentile it is written with.
Not here: what the callbacks mean for a scale (bt/), whether two summaries agree (parity/).

Production's keys are kept. Added are latency's min, median and max, and error codes are counted under their wire value
(`RATE_LIMIT`), where production wrote the name of a Python class in front.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Self

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.model import FileModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cj_pipeline.contracts.callback import LLMComparisonResultV1

ERROR_LABEL = "error"


class LatencySummary(FileModel):
    """`response_time_ms` over all events, failures included: milliseconds of the provider's call alone."""

    min_ms: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Spread(FileModel):
    """Smallest, mean and largest count of one kind of token."""

    min: float
    mean: float
    max: float


class TokenSummary(FileModel):
    """Tokens over all events, failures included."""

    prompt_tokens: Spread
    completion_tokens: Spread
    total_tokens: Spread


class Summary(FileModel):
    """`summary.json`."""

    scenario_id: str
    total_events: int
    success_count: int
    error_count: int
    winner_counts: dict[str, int]
    """`Essay A`, `Essay B` and `error`; only labels that occur."""
    error_code_counts: dict[str, int]
    response_time_ms: LatencySummary
    token_usage: TokenSummary
    bt_se_summary: dict[str, float | int] | None = None
    bt_quality_flags: dict[str, bool] | None = None

    def with_bt(self, se_summary: Mapping[str, float | int], quality_flags: Mapping[str, bool]) -> Self:
        """The same summary with what a replay through the engine found out."""
        return self.model_copy(
            update={"bt_se_summary": dict(se_summary), "bt_quality_flags": dict(quality_flags)},
        )

    def to_json(self) -> str:
        """The file's text: indent 2, keys sorted, one newline at the end; equal summaries give equal bytes."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def summarise(callbacks: Sequence[LLMComparisonResultV1], scenario_id: str) -> Summary:
    """The summary of some callbacks, in any order. Figures over no callbacks at all are 0.0."""
    winners = Counter((ERROR_LABEL if callback.winner is None else callback.winner.value) for callback in callbacks)
    codes = Counter(callback.error_detail.error_code for callback in callbacks if callback.error_detail is not None)
    succeeded = sum(callback.succeeded for callback in callbacks)
    return Summary(
        scenario_id=scenario_id,
        total_events=len(callbacks),
        success_count=succeeded,
        error_count=len(callbacks) - succeeded,
        winner_counts={label: winners[label] for label in (*Winner, ERROR_LABEL) if winners[label]},
        error_code_counts=dict(sorted(codes.items())),
        response_time_ms=_latency([callback.response_time_ms for callback in callbacks]),
        token_usage=TokenSummary(
            prompt_tokens=_spread([callback.token_usage.prompt_tokens for callback in callbacks]),
            completion_tokens=_spread([callback.token_usage.completion_tokens for callback in callbacks]),
            total_tokens=_spread([callback.token_usage.total_tokens for callback in callbacks]),
        ),
    )


def percentile(values: Sequence[float], p: float) -> float:
    """The p-th percentile of some values in any order, linearly interpolated (numpy's default method).

    p: 0 to 100; at or below 0 the minimum, at or above 100 the maximum. No values: 0.0.
    Production uses it for latency; its cache benchmark does not, that one takes the element at floor(n p).
    """
    if not values:
        return 0.0
    ordered = sorted(values)
    below, fraction = percentile_rank(len(ordered), p)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * fraction


def percentile_rank(n: int, p: float) -> tuple[int, float]:
    """Where the p-th percentile of n sorted values lies: the 0-based index below it, and how far towards the next."""
    index = (n - 1) * min(max(p, 0.0), 100.0) / 100
    below = math.floor(index)
    return below, index - below


def _latency(values: list[int]) -> LatencySummary:
    return LatencySummary(
        min_ms=float(min(values, default=0)),
        mean_ms=_mean(values),
        p50_ms=percentile(values, 50),
        p95_ms=percentile(values, 95),
        p99_ms=percentile(values, 99),
        max_ms=float(max(values, default=0)),
    )


def _spread(values: list[int]) -> Spread:
    return Spread(min=float(min(values, default=0)), mean=_mean(values), max=float(max(values, default=0)))


def _mean(values: list[int]) -> float:
    return sum(values) / len(values) if values else 0.0
