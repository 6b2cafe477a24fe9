"""This module summarises callbacks: counts, winners, errors, latency, tokens, and how sure their scale is.

Production's keys are kept. Added are latency's min, median and max, and error codes are counted under their wire value
(`RATE_LIMIT`), where production wrote the name of a Python class in front.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import numpy as np

from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.diagnostics import quality_flags, se_summary
from cj_pipeline.bt.fit import NoComparisons, fit
from cj_pipeline.bt.newton import NotConverged
from cj_pipeline.bt.standard_errors import TooManyItems
from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.foundation.numbers import percentile
from cj_pipeline.traces.essay_ids import essay_rejection
from cj_pipeline.traces.store import read_callbacks

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
        """Return the same summary with the Bradley-Terry diagnostics of another fit."""
        return self.model_copy(
            update={"bt_se_summary": dict(se_summary), "bt_quality_flags": dict(quality_flags)},
        )

    def to_json(self) -> str:
        """Return the file's text: indent 2, keys sorted, one newline at the end; equal summaries give equal bytes."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def summarise_file(path: Path, scenario_id: str, essays: Iterable[str] = ()) -> Summary:
    """Summarise a JSONL file of callbacks; lines that are no usable callback are left out.

    essays: the whole net, for essays that no callback names. Raises BadInput as read_callbacks does.
    """
    return summarise((line.event.data for line in read_callbacks(path).events), scenario_id, essays)


def summarise(callbacks: Iterable[LLMComparisonResultV1], scenario_id: str, essays: Iterable[str] = ()) -> Summary:
    """Summarise callbacks in any order. Figures over no callbacks at all are 0.0.

    essays: the whole net, for essays that no callback names.
    """
    winners: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    won: Counter[tuple[str, str]] = Counter()
    latency = array("q")
    tokens = {name: _Total() for name in TokenSummary.model_fields}
    for callback in callbacks:
        winners[ERROR_LABEL if callback.winner is None else callback.winner.value] += 1
        if callback.error_detail is not None:
            codes[callback.error_detail.error_code] += 1
        latency.append(callback.response_time_ms)
        for name, total in tokens.items():
            total.add(getattr(callback.token_usage, name))
        if callback.winner is not None and essay_rejection(callback.request_metadata) is None:
            first, second = callback.essay_ids()
            won[(first, second) if callback.winner is Winner.A else (second, first)] += 1
    summary = Summary(
        scenario_id=scenario_id,
        total_events=len(latency),
        success_count=len(latency) - winners[ERROR_LABEL],
        error_count=winners[ERROR_LABEL],
        winner_counts={label: winners[label] for label in (*Winner, ERROR_LABEL) if winners[label]},
        error_code_counts=dict(sorted(codes.items())),
        response_time_ms=_latency(latency),
        token_usage=TokenSummary(**{name: total.spread(len(latency)) for name, total in tokens.items()}),
    )
    return _with_fit(summary, won, essays)


class _Total:
    """Smallest, largest and sum of counts that are not kept."""

    def __init__(self) -> None:
        self.least = self.most = self.sum = 0
        self.empty = True

    def add(self, count: int) -> None:
        self.least = count if self.empty else min(self.least, count)
        self.most = max(self.most, count)
        self.sum += count
        self.empty = False

    def spread(self, n: int) -> Spread:
        return Spread(min=float(self.least), mean=self.sum / n if n else 0.0, max=float(self.most))


def _latency(values: array[int]) -> LatencySummary:
    column = np.frombuffer(values, np.int64) if values else np.zeros(0, np.int64)
    return LatencySummary(
        min_ms=float(min(values, default=0)),
        mean_ms=sum(values) / len(values) if values else 0.0,
        p50_ms=percentile(column, 50),
        p95_ms=percentile(column, 95),
        p99_ms=percentile(column, 99),
        max_ms=float(max(values, default=0)),
    )


def _with_fit(summary: Summary, won: Mapping[tuple[str, str], int], essays: Iterable[str]) -> Summary:
    """Fill the Bradley-Terry diagnostics; they stay null where the answers give no scale."""
    index = {essay: place for place, essay in enumerate(sorted({*essays, *(essay for pair in won for essay in pair)}))}
    comparisons = Comparisons(
        [index[winner] for winner, _ in won], [index[loser] for _, loser in won], len(index), list(won.values())
    )
    try:
        errors = se_summary(fit(comparisons).standard_error, comparisons)
    except (NoComparisons, NotConverged, TooManyItems):
        return summary
    return summary.with_bt(errors.as_dict(), quality_flags(errors).as_dict())
