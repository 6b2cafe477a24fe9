"""What a redacted copy adds up to, counted line by line.

Here: a summary without holding the callbacks: a million of them as models would take gigabytes. Not here: what a
summary is (traces/summary.py); a test holds the two together.
"""

from __future__ import annotations

from array import array
from collections import Counter

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.foundation.numbers import percentile
from cj_pipeline.traces.summary import ERROR_LABEL, LatencySummary, Spread, Summary, TokenSummary
from cj_pipeline.traces.wire_callback import WireCallback


class Tally:
    """What the copy adds up to, without holding its callbacks."""

    def __init__(self) -> None:
        self.callbacks = 0
        self.unusable = 0
        self._seen: set[str] = set()
        self._winners: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self._columns = tuple(array("d") for _ in range(4))

    def add(self, callback: WireCallback, code: str | None) -> None:
        """Count one callback. code: its error's, as the copy has it. A repeated request id is no second answer."""
        data = callback.data
        if data.request_id in self._seen:
            self.unusable += 1
            return
        self._seen.add(data.request_id)
        self.callbacks += 1
        self._winners[data.winner or ERROR_LABEL] += 1
        if code is not None:
            self._codes[code] += 1
        tokens = data.token_usage
        figures = (data.response_time_ms, tokens.prompt_tokens, tokens.completion_tokens, tokens.total_tokens)
        for column, figure in zip(self._columns, figures, strict=True):
            column.append(figure or 0)

    def summary(self, scenario_id: str) -> Summary:
        """As traces.summary.summarise makes it of the same callbacks."""
        errors = self._winners[ERROR_LABEL]
        latency, *tokens = self._columns
        spreads = [
            Spread(min=min(column, default=0.0), mean=_mean(column), max=max(column, default=0.0)) for column in tokens
        ]
        return Summary(
            scenario_id=scenario_id,
            total_events=self.callbacks,
            success_count=self.callbacks - errors,
            error_count=errors,
            winner_counts={label: self._winners[label] for label in (*Winner, ERROR_LABEL) if self._winners[label]},
            error_code_counts=dict(sorted(self._codes.items())),
            response_time_ms=LatencySummary(
                min_ms=min(latency, default=0.0),
                mean_ms=_mean(latency),
                p50_ms=percentile(latency, 50),
                p95_ms=percentile(latency, 95),
                p99_ms=percentile(latency, 99),
                max_ms=max(latency, default=0.0),
            ),
            token_usage=TokenSummary(prompt_tokens=spreads[0], completion_tokens=spreads[1], total_tokens=spreads[2]),
        )


def _mean(column: array[float]) -> float:
    # Whole numbers: their sum is exact, as that of integers is.
    return sum(column) / len(column) if column else 0.0
