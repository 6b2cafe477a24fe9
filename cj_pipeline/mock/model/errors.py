"""This module models the errors of a judge: how often, in what bursts, with which codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from cj_pipeline.mock.model.answers import Answers, BoolArray, FloatArray, IntArray

CodeArray: TypeAlias = npt.NDArray[np.signedinteger[Any]]
FixedCalls: TypeAlias = Callable[[FloatArray, np.random.Generator], tuple[BoolArray, BoolArray]]
"""From (d,) rates to (d, calls): for which calls it is fixed whether they fail, and which of those do."""

# Fewer recorded errors say nothing of bursts and codes.
LEAST_ERRORS = 5

_LEAST = 1e-9  # a chance of 0 has no geometric length


@dataclass(frozen=True, slots=True, eq=False)
class ErrorFit:
    """A two-state chain over calls. codes: names of the errors seen. code_counts: (c,) how often.

    begins, stays: (failures, calls) that followed an answer and a failure.
    """

    codes: tuple[str, ...]
    code_counts: IntArray
    begins: tuple[int, int]
    stays: tuple[int, int]

    @property
    def errors(self) -> int:
        """How many errors were recorded."""
        return int(self.code_counts.sum())


def fit_errors(recordings: tuple[Answers, ...]) -> ErrorFit:
    """Count the errors of some recordings, each in its order of arrival."""
    seen: dict[str, int] = {}
    begins, stays = [0, 0], [0, 0]
    for answers in recordings:
        failed = ~answers.answered
        for error in answers.error:
            if error:
                seen[error] = seen.get(error, 0) + 1
        begins[0] += int((failed[1:] & ~failed[:-1]).sum()) + int(failed[:1].sum())
        begins[1] += int((~failed[:-1]).sum()) + 1
        stays[0] += int((failed[1:] & failed[:-1]).sum())
        stays[1] += int(failed[:-1].sum())
    codes = tuple(sorted(seen))
    counts = np.array([seen[code] for code in codes], dtype=np.intp)
    return ErrorFit(codes, counts, (begins[0], begins[1]), (stays[0], stays[1]))


def draw_errors(
    fit: ErrorFit, draws: int, calls: int, rng: np.random.Generator, fixed: FixedCalls | None = None
) -> CodeArray:
    """Draw (draws, calls) errors: -1 for an answer, else the place of its code in `codes`, or one more.

    Rates are drawn from their posterior (Jeffreys' prior), so that no error in 120 is not taken for a rate of 0.
    fixed: draws for which calls it is fixed whether they fail, given the rates; None where no call is.
    """
    begins = rng.beta(fit.begins[0] + 0.5, fit.begins[1] - fit.begins[0] + 0.5, draws)
    # A failure follows a failure at least as easily as it follows an answer; without data, as easily.
    prior = 2.0
    rate = fit.errors / max(fit.begins[1] + fit.stays[1], 1)
    stays = rng.beta(fit.stays[0] + prior * rate + 0.25, fit.stays[1] - fit.stays[0] + prior * (1 - rate) + 0.25, draws)
    failed = _failures(begins, stays, calls, rng)
    if fixed is not None:
        is_fixed, fails = fixed(begins / (begins + 1 - stays), rng)
        failed = np.where(is_fixed, fails, failed)
    # Codes that came once say how much has not been seen (Good and Turing).
    unseen = 0.5 + (fit.code_counts == 1).sum()
    weight = rng.standard_gamma(np.append(fit.code_counts, unseen), (draws, len(fit.codes) + 1))
    cumulative = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    errors = np.full((draws, calls), -1, dtype=np.int16)
    at = np.nonzero(failed)
    errors[at] = (rng.random(len(at[0]))[:, None] > cumulative[at[0]]).sum(axis=1)
    return errors


def _failures(begins: FloatArray, stays: FloatArray, calls: int, rng: np.random.Generator) -> BoolArray:
    """(draws, calls) whether a call fails: runs of failures and runs of answers, by turns, each of geometric length."""
    draws = len(begins)
    answers, failures = np.maximum(begins, _LEAST), np.maximum(1 - stays, _LEAST)
    edges = np.zeros((draws, calls + 1), dtype=np.int8)
    fails_first = rng.random(draws) < answers / (answers + failures)
    begin = np.where(fails_first, 0, rng.geometric(answers))
    while (row := np.flatnonzero(begin < calls)).size:
        end = begin[row] + rng.geometric(failures[row])
        edges[row, begin[row]] += 1
        edges[row, np.minimum(end, calls)] -= 1
        begin[row] = end + rng.geometric(answers[row])
    return np.asarray(np.cumsum(edges[:, :-1], axis=1, dtype=np.int8) > 0)
