"""This module draws faithful live sides in such detail that a wrong mock can change any part of them.

The uniforms of the draws are kept, so a drift of size 0 is the faithful side, and a larger drift changes more answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import expit

from cj_pipeline.bt.judgements import Draws
from cj_pipeline.mock.model.answers import BoolArray, FloatArray, IntArray
from cj_pipeline.mock.model.winner import AskedPrompts, chances
from cj_pipeline.parity.comparison import Comparison, Sample

DRAWS = 1_000
"""A rate of 80 % is then known to 1.3 points."""

_MOST_VALUES = 4_000_000
_LEAST_DRAWS = 100


@dataclass(frozen=True, eq=False)
class DrawnJudge:
    """Draws of the recorded judge on the prompts of a comparison.

    fixed: (d, p) whether the answer to a prompt is fixed. latent: (d, p) what a fixed answer was drawn by: A where it
    is below the chance of A, which is what was recorded. free: (d, n) the same of each answer that is not fixed.
    prompt: (n,) of each answer.
    """

    asked: AskedPrompts
    draws: Draws
    fixed: BoolArray
    latent: FloatArray
    free: FloatArray
    prompt: IntArray

    @cached_property
    def log_odds(self) -> FloatArray:
        """(d, p) log-odds of A."""
        return self.draws.log_odds(self.asked.first, self.asked.second)

    def answers(self, log_odds: FloatArray | None = None, fixed: BoolArray | None = None) -> BoolArray:
        """Return (d, n) whether each answer is A. log_odds, fixed: instead of the judge's own."""
        log_odds = self.log_odds if log_odds is None else log_odds
        fixed = self.fixed if fixed is None else fixed
        with np.errstate(over="ignore"):
            chance = 1 / (1 + np.exp(-log_odds))
        kept = (self.latent < chance)[:, self.prompt]
        return np.where(fixed[:, self.prompt], kept, self.free < chance[:, self.prompt])

    def wins(self, answers: BoolArray) -> FloatArray:
        """Return (d, p) how many answers to each prompt are A."""
        starts = np.concatenate([[0], np.cumsum(self.asked.answers.astype(np.intp))[:-1]])
        return np.add.reduceat(answers, starts, axis=1, dtype=np.intp).astype(float)

    def moved(self, theta: FloatArray) -> FloatArray:
        """Return (d, p) log-odds under other scores of the essays."""
        return replace(self.draws, theta=theta).log_odds(self.asked.first, self.asked.second)


@dataclass(frozen=True, eq=False)
class Faithful:
    """Faithful live sides of one comparison. size: how many are drawn, fewer where memory ends."""

    case: Comparison
    size: int = DRAWS

    @cached_property
    def judge(self) -> DrawnJudge | None:
        """Who wins; None where no prompt was answered on both sides."""
        asked, draws = self.case.asked, self.case.draws
        if asked is None or draws is None:
            return None
        answers = int(asked.answers.sum())
        part = draws.part(slice(0, min(len(draws.position), self._draws_for(answers))))
        rng = self.generator("judge")
        _, fixed_chance = chances(part, asked)
        chance = expit(part.log_odds(asked.first, asked.second))  # in double precision, as `answers` has it
        fixed = rng.random(chance.shape) < fixed_chance
        uniform = rng.random(chance.shape)
        # Given a recorded A, what it was drawn by lies below the chance of A; given a B, above it.
        known = np.where(asked.recorded_wins > 0, uniform * chance, chance + uniform * (1 - chance))
        latent = np.where(asked.recorded > 0, known, uniform)
        free = rng.random((len(chance), answers))
        return DrawnJudge(
            asked, part, fixed, latent, free, np.repeat(np.arange(len(asked.first)), asked.answers.astype(int))
        )

    @cached_property
    def measures(self) -> Sample:
        """Latency, tokens, confidence and errors."""
        drawn = self.case.drawn_measures
        answered = int(self.case.live.answered.sum())
        most = self._draws_for(max(answered, len(self.case.live)))
        cut = {
            name: None if (part := getattr(drawn, name)) is None else part[:most]
            for name in ("latency_ms", "completion_tokens", "prompt_tokens", "confidence", "errors")
        }
        return replace(drawn, **cut)

    @cached_property
    def gaps(self) -> FloatArray:
        """(p,) how far apart the two essays of each prompt are on the recorded scale, logits."""
        case = self.case
        assert case.winner is not None and case.asked is not None  # noqa: S101, PT018  (there is a judge)
        theta = case.winner.fit.mean[:-1]
        return np.abs(theta[case.asked.first] - theta[case.asked.second])

    @cached_property
    def order(self) -> IntArray:
        """(n,) the compared essays, the best on the recorded scale first."""
        case = self.case
        assert case.winner is not None and case.asked is not None  # noqa: S101, PT018
        compared = np.unique(np.concatenate([case.asked.first, case.asked.second]))
        return np.asarray(compared[np.argsort(-case.winner.fit.mean[compared], kind="stable")])

    def generator(self, purpose: str) -> np.random.Generator:
        """Return the generator of one purpose, the same for the same comparison."""
        return self.case.generator(f"gauntlet {purpose}")

    def _draws_for(self, values: int) -> int:
        return max(_LEAST_DRAWS, min(self.size, _MOST_VALUES // max(values, 1)))
