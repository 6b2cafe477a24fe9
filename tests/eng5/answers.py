"""This module makes cases of alignment reports out of outcomes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from cj_pipeline.contracts.callback import LLMComparisonResultV1, TokenUsage
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.eng5.alignment.case import AlignmentCase
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.traces.grade_file import GRADE_ORDER

NOON = datetime(2025, 12, 1, 12, tzinfo=UTC)
BATCH_108 = Path(__file__).parents[2] / "traces" / "eng5_batch_108_20251129" / "outcomes.csv"

LOWER5 = ("vt_005_D-", "vt_004_E+", "vt_003_E-", "vt_002_F+", "vt_001_F+")


def answer(first: str, second: str, winner: str, number: int = 0) -> LLMComparisonResultV1:
    return LLMComparisonResultV1(
        request_id=f"{first}-{second}-{number}",
        correlation_id=keyed_uuid("test answer", first, second, number),
        winner=Winner.A if winner == first else Winner.B,
        justification="Clearer.",
        confidence=4.0,
        provider=Provider.OPENAI,
        model="gpt-5.1",
        response_time_ms=1000,
        token_usage=TokenUsage(),
        cost_estimate=0.0,
        requested_at=NOON,
        completed_at=NOON,
        request_metadata={"essay_a_id": first, "essay_b_id": second, "prompt_sha256": "a" * 64},
    )


def case_of(
    outcomes: Iterable[tuple[str, str]], grades: Mapping[str, str], others: Iterable[str] = ()
) -> AlignmentCase:
    """A case. outcomes: winner and loser, shown in turns first."""
    pairs = list(outcomes)
    essays = {essay for pair in pairs for essay in pair} | set(grades)
    callbacks = tuple(
        answer(*((winner, loser) if number % 2 else (loser, winner)), winner, number)
        for number, (winner, loser) in enumerate(pairs)
    )
    labels = {essay: essay for essay in essays}
    return AlignmentCase("test", "a test", callbacks, labels, dict(grades), GRADE_ORDER)


def in_order(order: list[str]) -> list[tuple[str, str]]:
    """Every pair once, won by the one that comes first."""
    return [(one, other) for number, one in enumerate(order) for other in order[number + 1 :]]


def graded(labels: Iterable[str]) -> dict[str, str]:
    """The grades that the names of the published anchors end in."""
    return {label: label.rpartition("_")[2] for label in labels}


def batch_108() -> AlignmentCase:
    """The published batch of 200 comparisons; traces/README.md says which of its outcomes are published."""
    with BATCH_108.open() as file:
        rows = list(csv.DictReader(file))
    shown = [(row["shown_a"], row["shown_b"]) for row in rows]
    outcomes = [pair if row["winner"] == "A" else pair[::-1] for pair, row in zip(shown, rows, strict=True)]
    anchors = {essay for pair in outcomes for essay in pair if essay.startswith("vt_")}
    return case_of(outcomes, graded(anchors))
