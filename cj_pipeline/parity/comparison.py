"""This module sets two sides of a comparison beside each other as arrays, and draws the live side anew.

Every check on answers is a function of a `Comparison` and a `Sample`. The first axis of a sample is draws: the observed
live side is a sample of one draw, noise is a sample of thousands, a wrong mock is a sample of another judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array
from scipy.special import expit

from cj_pipeline.bt.judgements import Draws, information, posterior
from cj_pipeline.mock.model.answers import Answers, BoolArray, FloatArray, IntArray, RealArray
from cj_pipeline.mock.model.errors import CodeArray, ErrorFit, draw_errors, fit_errors
from cj_pipeline.mock.model.measures import MeasureFit, draw_measures, fit_measures
from cj_pipeline.mock.model.winner import AskedPrompts, WinnerFit, asked_prompts, counted, draw_wins, fit_winner

DRAWS = 8_000
# Of answers a draw times draws: above it fewer draws do, since more answers leave less to chance.
_MOST_VALUES = 6_000_000
LEAST_DRAWS = 500
REFIT_STEPS = 12
_DENSE = 200  # essays up to which a dense design is faster than a sparse one


@dataclass(frozen=True, eq=False)
class Sample:
    """One live side, or many drawn ones.

    wins: (d, p) answers for A, by prompt. latency_ms, completion_tokens, confidence: (d, n) of the answers.
    prompt_tokens: (d, n) of the answers. errors: (d, c) per call, -1 for an answer, else the place of its code.
    A part that a check does not look at may be None.
    """

    wins: FloatArray | None = None
    latency_ms: RealArray | None = None
    completion_tokens: RealArray | None = None
    prompt_tokens: RealArray | None = None
    confidence: RealArray | None = None
    errors: CodeArray | None = None
    retries: BoolArray | None = None

    @cached_property
    def sorted_latency(self) -> RealArray:
        """(d, n) latencies of the answers of each draw, ascending."""
        assert self.latency_ms is not None  # noqa: S101  (a gate is not applicable where its part is missing)
        return np.sort(self.latency_ms, axis=1)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A recorded side, of one or more recordings, and a live side of one or more batches.

    items: ids of the net. grades: position on the scale by id, 0 the best; of graded essays only.
    repeatability: what is known of the judge from elsewhere. seed: of every draw.
    """

    recordings: tuple[Answers, ...]
    live: Answers
    items: tuple[str, ...]
    grades: Mapping[str, int]
    seed: int
    repeatability: float | None = None
    host_latency: bool = False
    """Whether the recorded latency is the load of a host, not a property of the judge."""

    @cached_property
    def by_hash(self) -> bool:
        """Whether prompts are known by their hash: where both sides have some in common."""
        recorded = {digest for answers in self.recordings for digest in answers.prompt_sha256 if digest}
        return not recorded.isdisjoint(self.live.prompt_sha256)

    @cached_property
    def winner(self) -> WinnerFit | None:
        """The recorded judge's winner part; None without a single recorded answer."""
        return fit_winner(self.recordings, self.items, by_hash=self.by_hash, repeatability=self.repeatability)

    @cached_property
    def asked(self) -> AskedPrompts | None:
        """The prompts that both sides answered; None where there is none."""
        if self.winner is None:
            return None
        known = set(self.winner.prompts)
        live = counted((self.live,), by_hash=self.by_hash)
        matched = {prompt: count for prompt, count in live.items() if prompt in known}
        return asked_prompts(self.winner, matched) if matched else None

    @cached_property
    def draws(self) -> Draws | None:
        """Posterior draws of the recorded judge."""
        if self.winner is None:
            return None
        answers = float(self.winner.judgements.asked.sum())
        size = DRAWS if answers <= 20_000 else LEAST_DRAWS
        return posterior(self.winner.fit, size, self.generator("posterior"))

    @cached_property
    def recorded(self) -> Answers:
        """All recordings, one after the other."""
        return joined(self.recordings)

    @cached_property
    def measures(self) -> MeasureFit | None:
        """The recorded judge's latency, tokens and confidence."""
        answered = self.recorded.answered
        if not answered.any():
            return None
        columns = self.recorded.latency_ms, self.recorded.completion_tokens, self.recorded.confidence
        latency, tokens, confidence = (column[answered] for column in columns)
        return fit_measures(latency, tokens, confidence, self.gaps(self.recorded))

    @cached_property
    def errors(self) -> ErrorFit:
        """The recorded judge's errors."""
        return fit_errors(self.recordings)

    @cached_property
    def observed(self) -> Sample:
        """The live side as it is: a sample of one draw."""
        answered = self.live.answered
        return Sample(
            wins=None if self.asked is None else self._observed_wins[None],
            latency_ms=self.live.latency_ms[None, answered],
            completion_tokens=self.live.completion_tokens[None, answered],
            prompt_tokens=self.live.prompt_tokens[None, answered],
            confidence=self.live.confidence[None, answered],
            errors=self.error_places(self.live)[None],
            retries=self.live.retry,
        )

    @cached_property
    def recorded_sample(self) -> Sample:
        """The recorded side in the form of a live one: its shares, on the prompts that the live side answered."""
        answered, asked = self.recorded.answered, self.asked
        wins = None if asked is None else (asked.recorded_wins / asked.recorded * asked.answers)[None]
        return Sample(
            wins=wins,
            latency_ms=self.recorded.latency_ms[None, answered],
            completion_tokens=self.recorded.completion_tokens[None, answered],
            prompt_tokens=self.recorded.prompt_tokens[None, answered],
            confidence=self.recorded.confidence[None, answered],
            errors=self.error_places(self.recorded)[None],
            retries=self.recorded.retry,
        )

    @property
    def no_retries(self) -> str | None:
        """Why nothing can be said about retries; None where both sides have some."""
        return None if self.recorded.retry.any() and self.live.retry.any() else "a side has no call that was made again"

    @cached_property
    def _observed_wins(self) -> FloatArray:
        assert self.winner is not None  # noqa: S101  (asked is not None)
        known = set(self.winner.prompts)
        live = counted((self.live,), by_hash=self.by_hash)
        return np.array([wins for prompt, (_, wins) in live.items() if prompt in known], dtype=float)

    def faithful(self) -> Iterator[Sample]:
        """Draw live sides that the recorded judge would give, in chunks: what a difference has to beat.

        The first chunk has every part; further ones, of large comparisons, have wins only.
        """
        measures = self.drawn_measures
        for number, wins in enumerate(self.drawn_wins()):
            yield Sample(wins=wins) if number else replace(measures, wins=wins)

    @cached_property
    def drawn_measures(self) -> Sample:
        """Draw everything but the winners: latency, tokens, confidence, errors."""
        answered = int(self.live.answered.sum())
        latency = completion = confidence = None
        if self.measures is not None and answered:
            drawn = draw_measures(self.measures, draws_for(answered), self.gaps(self.live), self.generator("measures"))
            latency, completion, confidence = drawn.latency_ms, drawn.completion_tokens, drawn.confidence
        calls = len(self.live)
        return Sample(
            latency_ms=latency,
            completion_tokens=completion,
            prompt_tokens=None if self.expected_prompt_tokens is None else self.expected_prompt_tokens[None],
            confidence=confidence,
            errors=draw_errors(self.errors, draws_for(calls), calls, self.generator("errors")) if calls else None,
            retries=self.live.retry,
        )

    def drawn_wins(self) -> Iterator[FloatArray]:
        """Draw (d, p) wins of a faithful judge, in chunks; nothing where no prompt was answered on both sides."""
        if self.asked is None or self.draws is None:
            return
        rng = self.generator("wins")
        size = len(self.draws.position)
        chunk = max(1, _MOST_VALUES // max(len(self.asked.first), 1))
        for start in range(0, size, chunk):
            yield draw_wins(self.draws.part(slice(start, start + chunk)), self.asked, rng)

    def gaps(self, answers: Answers) -> FloatArray:
        """Return (n,) log-odds between the two essays of each answer, without sign; 0 where nothing is known."""
        answered = np.flatnonzero(answers.answered)
        if self.winner is None:
            return np.zeros(len(answered))
        score = dict(zip(self.winner.items, self.winner.fit.mean.tolist(), strict=False))
        pairs = [(answers.essay_a[index], answers.essay_b[index]) for index in answered]
        return np.abs([score.get(a, 0.0) - score.get(b, 0.0) for a, b in pairs]) if pairs else np.zeros(0)

    def error_places(self, answers: Answers) -> IntArray:
        """Return (n,) -1 for an answer, else the place of its code among the recorded ones; one more for a new code."""
        place = {code: index for index, code in enumerate(self.errors.codes)}
        return np.array([place.get(error, len(place)) if error else -1 for error in answers.error], dtype=np.intp)

    def step(self, wins: FloatArray) -> FloatArray:
        """Return (d, n + 1) how live answers move the recorded fit, in theta and position: one Newton step.

        wins: (d, p). Linear in live minus recorded shares: equal answers move nothing, and no answers separate.
        """
        assert self.asked is not None  # noqa: S101  (there are wins)
        score = (self.share_differences(wins) * self.weights) @ self._design
        return np.asarray(cho_solve(self._information, score.T).T)

    def refit(self, wins: FloatArray) -> FloatArray:
        """Return (d, n + 1) scores and position fitted to live answers, under the recorded spread.

        Steps of fixed curvature (a bound of the real one, Böhning and Lindsay, 1988): one product of matrices a step
        for all draws together, no step overshoots, and answers equal to the recorded ones move nothing.
        """
        assert self.winner is not None and self.asked is not None  # noqa: S101, PT018
        known = self._refits
        if known and known[0] is wins:
            return known[1]
        mean = self.winner.fit.mean
        n = len(self.items)
        precision = np.append(np.full(n, self.winner.fit.spread**-2), 1.0)
        recorded = self.asked.recorded_wins / self.asked.recorded
        target = self.share_differences(wins) + recorded
        # At the recorded shares the gradient is what prompts of the other side alone leave; it is taken off.
        at_rest = ((recorded - expit(self._log_odds(mean[None]))) * self.weights) @ self._design - precision * mean
        # In single precision, which halves the time and keeps scores to 1e-5 logits.
        sparse = self._design.astype(np.float32)
        design = sparse.toarray() if n <= _DENSE else sparse
        target, weights = target.astype(np.float32), self.weights.astype(np.float32)
        precision, at_rest = precision.astype(np.float32), at_rest.astype(np.float32)
        inverse = self._inverse_bound
        points: npt.NDArray[Any] = np.broadcast_to(mean.astype(np.float32), (len(wins), n + 1))
        with np.errstate(over="ignore"):
            for _ in range(REFIT_STEPS):
                residual = (target - 1 / (1 + np.exp(-(points @ design.T)))) * weights
                points = points + (residual @ design - precision * points - at_rest) @ inverse
        found = points.astype(np.float64)
        self._refits[:] = [wins, found]
        return found

    @cached_property
    def _inverse_bound(self) -> npt.NDArray[np.float32]:
        """The inverse of the most curvature that the refit of live answers can have."""
        assert self.winner is not None and self.asked is not None  # noqa: S101, PT018
        n = len(self.items)
        precision = np.append(np.full(n, self.winner.fit.spread**-2), 1.0)
        bound = information(self.asked.first, self.asked.second, 0.25 * self.weights, n) + np.diag(precision)
        return np.asarray(np.linalg.inv(bound).astype(np.float32))

    @cached_property
    def _refits(self) -> list[FloatArray]:
        return []

    def _log_odds(self, points: FloatArray) -> FloatArray:
        assert self.asked is not None  # noqa: S101
        return np.asarray(points[:, self.asked.first] - points[:, self.asked.second] + points[:, -1:])

    def share_differences(self, wins: FloatArray) -> FloatArray:
        """Return (d, p) the live share of A minus the recorded one, prompt by prompt."""
        assert self.asked is not None  # noqa: S101
        return np.asarray(wins / self.asked.answers - self.asked.recorded_wins / self.asked.recorded)

    @cached_property
    def weights(self) -> FloatArray:
        """(p,) independent recorded answers that each prompt is worth."""
        assert self.winner is not None and self.asked is not None  # noqa: S101, PT018
        return np.asarray(self.winner.fit.effective[self.asked.row])

    @cached_property
    def _design(self) -> csr_array:
        assert self.asked is not None  # noqa: S101
        p, n = len(self.asked.first), len(self.items)
        ones = np.ones(p)
        columns = np.concatenate([self.asked.first, self.asked.second, np.full(p, n)])
        values = np.concatenate([ones, -ones, ones])
        return csr_array((values, (np.tile(np.arange(p), 3), columns)), shape=(p, n + 1))

    @cached_property
    def _information(self) -> tuple[FloatArray, bool]:
        """The recorded information at the posterior mean, prior included, factored."""
        assert self.winner is not None  # noqa: S101
        fit, judgements = self.winner.fit, self.winner.judgements
        n, mean = judgements.n_items, fit.mean
        log_odds = mean[judgements.first] - mean[judgements.second] + mean[-1]
        weight = fit.effective * expit(log_odds) * expit(-log_odds)
        matrix = information(judgements.first, judgements.second, weight, n)
        matrix[np.arange(n), np.arange(n)] += fit.spread**-2
        matrix[n, n] += 1.0
        return cho_factor(matrix, lower=True)

    @cached_property
    def expected_prompt_tokens(self) -> FloatArray | None:
        """(n,) tokens that the recorded judge would bill for the live prompts: base and a part per essay."""
        answered = np.flatnonzero(self.live.answered)
        if self.prompt_token_parts is None or not len(answered):
            return None
        known = self._recorded_prompt_tokens
        keys = self.live.prompts(by_hash=self.by_hash)
        base, part = self.prompt_token_parts
        return np.array(
            [
                known.get(keys[i], base + part.get(self.live.essay_a[i], 0.0) + part.get(self.live.essay_b[i], 0.0))
                for i in answered
            ]
        )

    @cached_property
    def _recorded_prompt_tokens(self) -> dict[tuple[str, str, str], float]:
        """Mean tokens by prompt: without hashes, one pair and side may stand for prompts of different length."""
        recorded = self.recorded
        found: dict[tuple[str, str, str], list[float]] = {}
        prompts = recorded.prompts(by_hash=self.by_hash)
        for prompt, tokens, answered in zip(prompts, recorded.prompt_tokens, recorded.answered, strict=True):
            if answered:
                found.setdefault(prompt, []).append(float(tokens))
        return {prompt: float(np.mean(tokens)) for prompt, tokens in found.items()}

    @cached_property
    def prompt_token_parts(self) -> tuple[float, dict[str, float]] | None:
        """Base and part per essay of the recorded prompt tokens (least squares); None without an answer."""
        answered = np.flatnonzero(self.recorded.answered)
        if not len(answered):
            return None
        place = {item: index for index, item in enumerate(self.items)}
        first = np.array([place[self.recorded.essay_a[i]] for i in answered])
        second = np.array([place[self.recorded.essay_b[i]] for i in answered])
        n = len(self.items)
        matrix, tokens = np.zeros((n, n)), self.recorded.prompt_tokens[answered]
        for rows, columns in ((first, first), (first, second), (second, first), (second, second)):
            np.add.at(matrix, (rows, columns), 1.0)
        excess = tokens - tokens.mean()
        right = np.bincount(first, excess, n) + np.bincount(second, excess, n)
        parts = np.linalg.lstsq(matrix, right, rcond=1e-10)[0]
        return float(tokens.mean()), dict(zip(self.items, parts.tolist(), strict=True))

    def generator(self, purpose: str) -> np.random.Generator:
        """Return the generator of one purpose; the same for the same comparison."""
        return np.random.default_rng([self.seed, *purpose.encode()])


def draws_for(values: int) -> int:
    """How many draws a measure of this many values a draw gets."""
    return int(min(DRAWS, max(LEAST_DRAWS, _MOST_VALUES // max(values, 1))))


def joined(parts: Sequence[Answers]) -> Answers:
    """Return the answers of several recordings as one, with batches numbered through."""
    if len(parts) == 1:
        return parts[0]
    offsets = np.cumsum([0, *(int(part.batch.max(initial=-1)) + 1 for part in parts[:-1])])
    batch = np.concatenate([part.batch + offset for part, offset in zip(parts, offsets, strict=True)])

    def texts(name: str) -> tuple[str, ...]:
        return tuple(text for part in parts for text in getattr(part, name))

    def numbers(name: str) -> FloatArray:
        return np.concatenate([getattr(part, name) for part in parts])

    retry: BoolArray = np.concatenate([part.retry for part in parts])
    return Answers(
        batch=batch,
        essay_a=texts("essay_a"),
        essay_b=texts("essay_b"),
        prompt_sha256=texts("prompt_sha256"),
        winner=np.concatenate([part.winner for part in parts]),
        error=texts("error"),
        latency_ms=numbers("latency_ms"),
        prompt_tokens=numbers("prompt_tokens"),
        completion_tokens=numbers("completion_tokens"),
        total_tokens=numbers("total_tokens"),
        confidence=numbers("confidence"),
        retry=retry,
    )
