"""This module takes from callbacks the numbers that exact checks compare."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner

FloatArray = npt.NDArray[np.float64]
Callbacks = Sequence[LLMComparisonResultV1]


def tokens(callbacks: Callbacks, kind: str) -> FloatArray:
    """(n,) tokens of one kind: prompt_tokens, completion_tokens or total_tokens."""
    return np.array([getattr(callback.token_usage, kind) for callback in callbacks], dtype=float)


def a_wins(callbacks: Callbacks) -> tuple[int, int]:
    """How many successes there are for `Essay A`, and how many in all."""
    winners = [callback.winner for callback in callbacks if callback.winner is not None]
    return sum(winner is Winner.A for winner in winners), len(winners)


def share(count: int, of: int) -> float:
    """The ratio of two counts, 0 of nothing."""
    return count / of if of else 0.0


def mean(values: FloatArray) -> float:
    """The mean, 0 of nothing (as production's summaries have it)."""
    return float(values.mean()) if len(values) else 0.0


def within(difference: float, limit: float) -> bool:
    """Whether two values differ by at most a limit, the limit included.

    1e-9 forgives the rounding of a subtraction: .9 - .7 is .20000000000000007, and production's suite rejects 2 of 10
    against 4 of 10 for that reason alone.
    """
    return abs(difference) <= limit + 1e-9
