"""This module models which prompts fail each time: ties and unreadable answers come back at the same ones.

With probability `repeatability` it is fixed whether a prompt fails: drawn once, and the same in every batch and retry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cj_pipeline.bt.judgements import R_GRID, repeatability_cells
from cj_pipeline.mock.model.answers import Answers, BoolArray, FloatArray, Prompt
from cj_pipeline.mock.model.errors import LEAST_ERRORS

# So many prompts asked more than once say whether errors come back at the same ones.
LEAST_REPEATED = 20


@dataclass(frozen=True, slots=True, eq=False)
class RepeatedErrors:
    """What the calls of each prompt say of whether errors come back.

    counts: failed calls and answers by prompt. shares: (200,) posterior probability of each cell of the repeatability.
    again: prompts that were asked more than once.
    """

    counts: Mapping[Prompt, tuple[int, int]]
    shares: FloatArray
    again: int

    @property
    def errors(self) -> int:
        """How many calls failed."""
        return sum(failed for failed, _ in self.counts.values())

    @property
    def mean(self) -> float:
        """The posterior mean of the repeatability."""
        return float(self.shares @ R_GRID)


def fit_error_repeats(recordings: Sequence[Answers], *, by_hash: bool) -> RepeatedErrors:
    """Fit how probably it is fixed whether a prompt fails. by_hash: whether a prompt is known by its hash."""
    counts: dict[Prompt, tuple[int, int]] = {}
    for answers in recordings:
        for prompt, winner in zip(answers.prompts(by_hash=by_hash), answers.winner.tolist(), strict=True):
            failed, answered = counts.get(prompt, (0, 0))
            counts[prompt] = (failed + (winner < 0), answered + (winner >= 0))
    alike = Counter(counts.values())
    calls = sum((failed + answered) * times for (failed, answered), times in alike.items())
    errors = sum(failed * times for (failed, _), times in alike.items())
    rate = (errors + 0.5) / (calls + 1)
    again = np.array([(*kind, times) for kind, times in alike.items() if sum(kind) > 1], dtype=float).reshape(-1, 3)
    failed_column, answered_column, times_column = again.T
    rates = np.full(len(again), rate)
    shares = repeatability_cells(failed_column, failed_column + answered_column, rates, times_column)
    return RepeatedErrors(counts, shares, int(times_column.sum()))


def fit_repeated_errors(recordings: Sequence[Answers]) -> tuple[float, dict[str, dict[str, int]]]:
    """Return the share of prompts of which it is fixed whether they fail, and how often each prompt failed.

    0 where too few prompts were asked twice, or too few calls failed, to say.
    """
    fit = fit_error_repeats(recordings, by_hash=False)
    calls = sum(len(answers) for answers in recordings)
    if not LEAST_ERRORS <= fit.errors < calls or fit.again < LEAST_REPEATED:
        return 0.0, {}
    failed: dict[str, dict[str, int]] = {}
    for (_, first, second), (errors, _) in fit.counts.items():
        if errors:
            failed.setdefault(first, {})[second] = errors
    return round(fit.mean, 4), failed


def draw_fixed(
    fit: RepeatedErrors, prompts: Sequence[Prompt], rates: FloatArray, rng: np.random.Generator
) -> tuple[BoolArray, BoolArray]:
    """Draw (d, n) whether it is fixed for each call whether it fails, and whether it then does.

    prompts: of the n calls. rates: (d,) shares of calls that fail where nothing is fixed.
    """
    place = {prompt: index for index, prompt in enumerate(dict.fromkeys(prompts))}
    known = [fit.counts.get(prompt, (0, 0)) for prompt in place]
    kinds = {kind: index for index, kind in enumerate(dict.fromkeys(known))}
    share = R_GRID[rng.choice(len(R_GRID), size=len(rates), p=fit.shares)]
    chance = np.stack([_share_fixed(share, rates, failed, answered) for failed, answered in kinds], axis=1)
    kind_of = np.array([kinds[kind] for kind in known])
    drawn = rng.random((len(rates), len(place)), dtype=np.float32)
    fixed = drawn < chance.astype(np.float32)[:, kind_of]
    fails = np.broadcast_to([failed > 0 for failed, _ in known], fixed.shape)
    unknown = np.array([kind == (0, 0) for kind in known])
    if unknown.any():
        fails = fails.copy()
        fails[:, unknown] = rng.random((len(rates), int(unknown.sum())), dtype=np.float32) < rates[:, None]
    if len(place) == len(prompts):
        return fixed, fails & fixed
    of_call = np.array([place[prompt] for prompt in prompts])
    return fixed[:, of_call], (fails & fixed)[:, of_call]


def _share_fixed(share: FloatArray, rates: FloatArray, failed: int, answered: int) -> FloatArray:
    """Return (d,) how probably it is fixed whether a prompt fails, given how often it failed and was answered."""
    if failed and answered:
        return np.zeros_like(share)
    # r p / ((1 - r) p^n + r p)
    likely = np.clip(rates if failed else 1 - rates, 1e-9, 1.0)
    return np.asarray(share / ((1 - share) * likely ** max(failed + answered - 1, 0) + share))
