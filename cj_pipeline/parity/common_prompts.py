"""This module holds what both sides answered to the same prompts, and how live answers move the recorded fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array
from scipy.special import expit

from cj_pipeline.bt.judgements import information
from cj_pipeline.mock.model.answers import Answers, FloatArray
from cj_pipeline.mock.model.winner import AskedPrompts, WinnerFit, asked_prompts, counted

REFIT_STEPS = 12
# Essays up to which matrices are dense and scores are fitted anew. Above it one step from the recorded fit does: at 100
# answers an essay it is within .02 logits of the fit.
DENSE = 200

# Prompts times draws that stay in a processor's cache, in single precision.
_CACHED = 100_000


@dataclass(frozen=True, eq=False)
class CommonPrompts:
    """The prompts that both sides answered.

    winner: fitted to all recorded answers, to other prompts as well. asked: the common prompts, with what was recorded
    of them and how often the live side answered. wins: (p,) live answers for A.
    """

    winner: WinnerFit
    asked: AskedPrompts
    wins: FloatArray
    _last: dict[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    """What was last asked of `step` and of `refit`: several statistics of one sample ask the same."""

    @property
    def theta(self) -> FloatArray:
        """(n,) the recorded scores, logits."""
        return np.asarray(self.winner.fit.mean[:-1])

    @cached_property
    def recorded_shares(self) -> FloatArray:
        """(p,) the recorded share of A."""
        return np.asarray(self.asked.recorded_wins / self.asked.recorded)

    @cached_property
    def weights(self) -> FloatArray:
        """(p,) independent recorded answers that each prompt is worth."""
        return np.asarray(self.winner.fit.effective[self.asked.row])

    def share_differences(self, wins: FloatArray) -> FloatArray:
        """Return (d, p) the live share of A minus the recorded one, prompt by prompt."""
        return np.asarray(wins / self.asked.answers - self.recorded_shares)

    def pull(self, wins: FloatArray, along: FloatArray) -> FloatArray:
        """Return (d, ...) the weighted sum over prompts of live minus recorded shares times (p, ...) values."""
        scaled = (self.weights * along.T).T
        return np.asarray(wins @ (scaled.T / self.asked.answers).T - self.recorded_shares @ scaled)

    def step(self, wins: FloatArray) -> FloatArray:
        """Return (d, n + 1) how live answers move the recorded fit, in theta and position: one Newton step.

        wins: (d, p). Linear in live minus recorded shares: equal answers move nothing, and no answers separate.
        """
        return self._remembered("step", wins, self._stepped)

    def refit(self, wins: FloatArray) -> FloatArray:
        """Return (d, n + 1) scores and position fitted to live answers, under the recorded spread.

        Steps of fixed curvature (a bound of the real one, Böhning and Lindsay, 1988): one product of matrices a step
        for all draws together, no step overshoots, and answers equal to the recorded ones move nothing.
        """
        return self._remembered("refit", wins, self._fitted)

    def _remembered(self, name: str, wins: FloatArray, compute: Callable[[FloatArray], FloatArray]) -> FloatArray:
        if name not in self._last or self._last[name][0] is not wins:
            self._last[name] = wins, compute(wins)
        return self._last[name][1]

    def _stepped(self, wins: FloatArray) -> FloatArray:
        if len(self.theta) > DENSE:
            score = (self.share_differences(wins) * self.weights) @ self._design
        else:
            score = self.pull(wins, self._design.toarray())
        return np.asarray(cho_solve(self._information, score.T).T)

    def _fitted(self, wins: FloatArray) -> FloatArray:
        mean = self.winner.fit.mean
        if len(mean) > DENSE:
            return np.asarray(mean + self.step(wins))
        # At the recorded shares the gradient is what prompts of the other side alone leave; it is taken off.
        log_odds = mean[self.asked.first] - mean[self.asked.second] + mean[-1]
        at_rest = ((self.recorded_shares - expit(log_odds)) * self.weights) @ self._design - self._precision * mean
        # In single precision, which halves the time and keeps scores to 1e-5 logits.
        design = self._design.astype(np.float32).toarray()
        weights = self.weights.astype(np.float32)
        precision, at_rest = self._precision.astype(np.float32), at_rest.astype(np.float32)
        bound = information(self.asked.first, self.asked.second, 0.25 * self.weights, len(mean) - 1)
        inverse = np.linalg.inv(bound + np.diag(self._precision)).astype(np.float32)
        # One step for all of x: (weights * (share - chance(x)) @ design - precision * x - at_rest) @ inverse.
        pull = (weights[:, None] * design) @ inverse
        keep = np.eye(len(mean), dtype=np.float32) - precision[:, None] * inverse
        rest, reversed_design = at_rest @ inverse, -np.ascontiguousarray(design.T)
        found = np.empty((len(wins), len(mean)))
        rows = max(1, _CACHED // len(design))
        with np.errstate(over="ignore"):
            for start in range(0, len(wins), rows):
                target = (wins[start : start + rows] / self.asked.answers).astype(np.float32) @ pull - rest
                points = np.broadcast_to(mean.astype(np.float32), target.shape)
                for _ in range(REFIT_STEPS):
                    chance = points @ reversed_design
                    np.exp(chance, out=chance)
                    chance += 1
                    np.reciprocal(chance, out=chance)
                    points = points @ keep + target - chance @ pull
                found[start : start + rows] = points
        return found

    @cached_property
    def _precision(self) -> FloatArray:
        return np.append(np.full(len(self.winner.items), self.winner.fit.spread**-2), 1.0)

    @cached_property
    def _design(self) -> csr_array:
        p, n = len(self.asked.first), len(self.winner.items)
        ones = np.ones(p)
        columns = np.concatenate([self.asked.first, self.asked.second, np.full(p, n)])
        values = np.concatenate([ones, -ones, ones])
        return csr_array((values, (np.tile(np.arange(p), 3), columns)), shape=(p, n + 1))

    @cached_property
    def _information(self) -> tuple[FloatArray, bool]:
        """The recorded information at the posterior mean, prior included, factored."""
        fit, judgements = self.winner.fit, self.winner.judgements
        mean = fit.mean
        log_odds = mean[judgements.first] - mean[judgements.second] + mean[-1]
        weight = fit.effective * expit(log_odds) * expit(-log_odds)
        matrix = information(judgements.first, judgements.second, weight, judgements.n_items)
        np.einsum("ii->i", matrix)[:] += self._precision
        return cho_factor(matrix, lower=True, overwrite_a=True)


def common_prompts(winner: WinnerFit, live: Answers) -> CommonPrompts | None:
    """Set the live answers beside a recorded judge; None where no prompt was answered on both sides."""
    known = set(winner.prompts)
    answered = counted((live,), by_hash=winner.by_hash)
    matched = {prompt: count for prompt, count in answered.items() if prompt in known}
    if not matched:
        return None
    wins = np.array([wins for _, wins in matched.values()], dtype=float)
    return CommonPrompts(winner, asked_prompts(winner, matched), wins)
