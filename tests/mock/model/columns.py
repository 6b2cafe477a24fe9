"""Answers by hand, as columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cj_pipeline.mock.model.answers import Answers


def answers(rows: Sequence[tuple[str, str, int]], codes: Sequence[str] = ("TIMEOUT",)) -> Answers:
    """Answers of (shown as A, shown as B, winner: 1 for A, 0 for B, -1 for an error); errors take turns with codes."""
    n = len(rows)
    winner = np.array([row[2] for row in rows], dtype=np.intp)
    failed = np.cumsum(winner < 0) - 1
    return Answers(
        batch=np.zeros(n, dtype=np.intp),
        essay_a=tuple(row[0] for row in rows),
        essay_b=tuple(row[1] for row in rows),
        prompt_sha256=("",) * n,
        winner=winner,
        error=tuple(codes[failed[at] % len(codes)] if winner[at] < 0 else "" for at in range(n)),
        latency_ms=np.full(n, 1000.0),
        prompt_tokens=np.full(n, 500.0),
        completion_tokens=np.full(n, 40.0),
        total_tokens=np.full(n, 540.0),
        confidence=np.where(winner < 0, np.nan, 4.0),
        retry=np.zeros(n, dtype=np.bool_),
    )
