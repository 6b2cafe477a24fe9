"""This module summarises callbacks: counts, winners, errors, latency, tokens, and how sure their scale is.

Production's keys are kept. Added are latency's min, median and max, and error codes are counted under their wire value
(`RATE_LIMIT`), where production wrote the name of a Python class in front.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import ValidationError

from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.diagnostics import quality_flags, se_summary
from cj_pipeline.bt.fit import NoComparisons, fit
from cj_pipeline.bt.newton import NotConverged
from cj_pipeline.bt.standard_errors import TooManyItems
from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.input_file import read_input
from cj_pipeline.foundation.numbers import percentile
from cj_pipeline.traces.reader import CallbackColumns, IntColumn, QuarantinedLine, columns_of, read_columns
from cj_pipeline.traces.store import SUMMARY_FILE

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
        """Return the same summary with the Bradley-Terry diagnostics of another fit, errors to nine decimals.

        Linear algebra differs in the last digits from one kind of CPU to the next, and a trace is the same file on all.
        """
        rounded = {name: round(value, 9) for name, value in se_summary.items()}
        return self.model_copy(update={"bt_se_summary": rounded, "bt_quality_flags": dict(quality_flags)})

    def to_json(self) -> str:
        """Return the file's text: indent 2, keys sorted, one newline at the end; equal summaries give equal bytes."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def summarise_file(
    path: Path,
    scenario_id: str,
    essays: Iterable[str] = (),
    *,
    on_quarantined: Callable[[QuarantinedLine], object] | None = None,
) -> Summary:
    """Summarise a JSONL file of callbacks, in bounded memory; lines that are no usable callback are left out.

    essays: the whole net, for essays that no callback names. on_quarantined: is given each line that is left out.
    Raises BadInput as read_callbacks does.
    """

    def chunks() -> Iterator[CallbackColumns]:
        for chunk in read_columns(path):
            if on_quarantined is not None:
                for line in chunk.quarantined:
                    on_quarantined(line)
            yield chunk

    return summarise_columns(chunks(), scenario_id, essays)


def summarise(callbacks: Iterable[LLMComparisonResultV1], scenario_id: str, essays: Iterable[str] = ()) -> Summary:
    """Summarise callbacks that name their essays, in any order. Figures over no callbacks at all are 0.0."""
    return summarise_columns([columns_of(callbacks)], scenario_id, essays)


def summarise_columns(chunks: Iterable[CallbackColumns], scenario_id: str, essays: Iterable[str] = ()) -> Summary:
    """Summarise columns of callbacks; of each it keeps the latency alone."""
    winners: Counter[Winner | None] = Counter()
    codes: Counter[str] = Counter()
    won: Counter[tuple[str, str]] = Counter()
    latency = array("q")
    tokens = {name: _Total() for name in TokenSummary.model_fields}
    for chunk in chunks:
        winners.update(chunk.winners)
        codes.update(code for code in chunk.error_codes if code is not None)
        won.update(
            (a, b) if winner is Winner.A else (b, a)
            for a, b, winner in zip(chunk.essays_a, chunk.essays_b, chunk.winners, strict=True)
            if winner is not None
        )
        latency.frombytes(chunk.response_time_ms.tobytes())
        for name, total in tokens.items():
            total.add(getattr(chunk, name))
    column = np.frombuffer(latency, np.int64) if latency else np.zeros(0, np.int64)
    summary = Summary(
        scenario_id=scenario_id,
        total_events=len(column),
        success_count=len(column) - winners[None],
        error_count=winners[None],
        winner_counts={
            ERROR_LABEL if winner is None else winner.value: winners[winner]
            for winner in (*Winner, None)
            if winners[winner]
        },
        error_code_counts=dict(sorted(codes.items())),
        response_time_ms=_latency(column),
        token_usage=TokenSummary(**{name: total.spread() for name, total in tokens.items()}),
    )
    return _with_fit(summary, won, essays)


class _Total:
    """Number, smallest, largest and sum of counts that are not kept."""

    def __init__(self) -> None:
        self.n = self.least = self.most = self.sum = 0

    def add(self, counts: IntColumn) -> None:
        if len(counts):
            least = int(counts.min())
            self.least = min(self.least, least) if self.n else least
            self.most = max(self.most, int(counts.max()))
            self.sum += _sum(counts)
            self.n += len(counts)

    def spread(self) -> Spread:
        return Spread(min=float(self.least), mean=self.sum / self.n if self.n else 0.0, max=float(self.most))


def _sum(counts: IntColumn) -> int:
    """Sum counts in whole numbers, halves apart: a count may have 53 bits, and a sum of 2,000 of them overflows."""
    return (int((counts >> 32).sum()) << 32) + int((counts & 0xFFFFFFFF).sum())


def _latency(column: IntColumn) -> LatencySummary:
    total = _Total()
    total.add(column)
    spread = total.spread()
    return LatencySummary(
        min_ms=spread.min,
        mean_ms=spread.mean,
        p50_ms=percentile(column, 50),
        p95_ms=percentile(column, 95),
        p99_ms=percentile(column, 99),
        max_ms=spread.max,
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


def read_summary(folder: Path) -> Summary:
    """Read a folder's `summary.json`; raises BadInput naming file and field."""
    path = folder / SUMMARY_FILE
    try:
        return Summary.model_validate_json(read_input(path))
    except FileNotFoundError:
        raise BadInput("no such file.", path=path, remedy="Capture or reconstruct the trace again.") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInput(f"{first['msg']}.", path=path, field=".".join(str(part) for part in first["loc"])) from None
