"""This module simulates judges of many kinds: what the operating characteristics of parity are measured on.

Kinds are a Latin hypercube over the number of essays and pairs, position, repeatability, spread, errors, latency,
batches and recordings; `point_c` is where power may not be given away (12 essays, 66 pairs, 3 batches).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cj_pipeline.mock.model.answers import Answers
from cj_pipeline.parity.comparison import Comparison, Sample
from cj_pipeline.parity.power import WrongMock, recorded_share


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of judge and of comparison."""

    essays: int
    pairs: int
    position: float
    repeatability: float
    spread: float
    error_rate: float
    errors_repeat: bool
    sigma: float
    batches: int
    recordings: int


def hypercube(count: int, rng: np.random.Generator) -> Iterator[Kind]:
    """Draw kinds of judges: each range is cut into `count` strata, and each stratum is taken once."""
    columns = [(rng.permutation(count) + rng.random(count)) / count for _ in range(9)]
    for at in np.array(columns).T:
        essays = round(5 * (50 / 5) ** at[0])
        most = essays * (essays - 1) // 2
        pairs = round(10 * (300 / 10) ** at[1])
        yield Kind(
            essays=essays,
            pairs=int(min(max(pairs, essays), 2 * most)),
            position=float(-2 + 6 * at[2]),
            repeatability=float(0.95 * at[3]),
            spread=float(0.3 * (6 / 0.3) ** at[4]),
            error_rate=float(0.15 * at[5]),
            errors_repeat=bool(at[5] * 10 % 1 < 0.5),
            sigma=float(0.1 + 0.5 * at[6]),
            batches=1 + int(10 * at[7]),
            recordings=1 + int(2 * at[8]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedJudge:
    """One judge: what is special to each prompt is drawn once."""

    kind: Kind
    first: np.ndarray
    second: np.ndarray
    chance: np.ndarray
    fixed: np.ndarray
    answer: np.ndarray
    fails: np.ndarray

    def batch(self, rng: np.random.Generator) -> np.ndarray:
        """(p,) 1 for A, 0 for B, -1 for an error."""
        free = rng.random(len(self.chance)) < self.chance
        winner = np.where(self.fixed, self.answer, free).astype(np.intp)
        failed = self.fails if self.kind.errors_repeat else rng.random(len(winner)) < self.kind.error_rate
        return np.where(failed, -1, winner)

    def measures(self, size: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw latency, completion tokens and confidence."""
        latency = np.round(1500 * np.exp(self.kind.sigma * rng.standard_normal(size)))
        tokens = np.round(40 * np.exp(0.2 * rng.standard_normal(size)))
        return latency, tokens, rng.choice([3.0, 3.5, 4.0, 4.5], size)

    def failures(self, runs: int, batches: int, rng: np.random.Generator) -> np.ndarray:
        """Draw (runs, calls) errors as places of their code, -1 for an answer."""
        p = len(self.first)
        failed = rng.random((runs, batches * p)) < self.kind.error_rate
        if self.kind.errors_repeat:
            failed = np.tile(self.fails, (runs, batches))
        return np.where(failed, 0, -1)

    def wins(self, case: Comparison, runs: int, rng: np.random.Generator) -> np.ndarray:
        """Draw (runs, p) wins of A on the prompts of a comparison."""
        assert case.asked is not None  # noqa: S101
        n = case.asked.answers.astype(int)
        place = {pair: row for row, pair in enumerate(zip(self.first.tolist(), self.second.tolist(), strict=True))}
        rows = [place[pair] for pair in zip(case.asked.first.tolist(), case.asked.second.tolist(), strict=True)]
        free = rng.binomial(n, self.chance[rows], (runs, len(n)))
        return np.where(self.fixed[rows], self.answer[rows] * n, free).astype(float)

    def sample(self, case: Comparison, runs: int, rng: np.random.Generator) -> Sample:
        """Draw faithful live sides, one a run."""
        latency, tokens, confidence = self.measures((runs, int(case.live.answered.sum())), rng)
        prompt = np.tile(case.live.prompt_tokens[case.live.answered], (runs, 1))
        wins = None if case.asked is None else self.wins(case, runs, rng)
        # There is one code, with place 0: the first recorded one, or the one after none.
        errors = self.failures(runs, self.kind.batches, rng)
        return Sample(wins, latency, tokens, prompt, confidence, errors, case.live.retry)

    def changed_by(
        self, mock: WrongMock, case: Comparison, faithful: Sample, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return the parts of faithful live sides that a wrong mock changes."""
        assert faithful.latency_ms is not None  # noqa: S101
        if mock is WrongMock.INSTANT:
            return {"latency_ms": np.zeros_like(faithful.latency_ms)}
        if mock is WrongMock.TOKENS:
            tokens = {name: getattr(faithful, name) for name in ("completion_tokens", "prompt_tokens")}
            return {name: 1.4 * values for name, values in tokens.items()}
        if case.asked is None or faithful.wins is None:
            return {}
        n = case.asked.answers
        if mock is WrongMock.FIRST_SHOWN:
            return {"wins": np.tile(n, (len(faithful.wins), 1))}
        if mock is WrongMock.INVERTED:
            return {"wins": n - faithful.wins}
        share = 0.5 if mock is WrongMock.COIN else recorded_share(case.asked)
        return {"wins": rng.binomial(n.astype(int), share, faithful.wins.shape).astype(float)}

    def answers(self, batches: int, rng: np.random.Generator) -> Answers:
        """Ask every prompt once a batch."""
        drawn = np.concatenate([self.batch(rng) for _ in range(batches)])
        n, p = len(drawn), len(self.first)
        latency, tokens, confidence = self.measures((n,), rng)
        prompt = np.tile(1000.0 + 7 * self.first + 5 * self.second, batches)
        return Answers(
            batch=np.repeat(np.arange(batches), p),
            essay_a=tuple(f"e{i:03d}" for i in np.tile(self.first, batches)),
            essay_b=tuple(f"e{i:03d}" for i in np.tile(self.second, batches)),
            prompt_sha256=("",) * n,
            winner=drawn,
            error=tuple("EXTERNAL_SERVICE_ERROR" if w < 0 else "" for w in drawn),
            latency_ms=latency,
            prompt_tokens=prompt,
            completion_tokens=tokens,
            total_tokens=prompt + tokens,
            confidence=np.where(drawn < 0, np.nan, confidence),
            retry=np.zeros(n, dtype=np.bool_),
        )


def judge_of(kind: Kind, rng: np.random.Generator) -> SimulatedJudge:
    """Draw one judge of a kind, with its net."""
    upper = np.array(np.triu_indices(kind.essays, 1)).T
    order = rng.permutation(len(upper))
    side = rng.random(len(upper)) < 0.5
    # Beyond all pairs they are asked again with sides swapped, so that no prompt is asked twice in a batch.
    pairs = upper[np.concatenate([order, order])[: kind.pairs]]
    swapped = np.concatenate([side, ~side])[: kind.pairs]
    first, second = np.where(swapped, pairs[:, 1], pairs[:, 0]), np.where(swapped, pairs[:, 0], pairs[:, 1])
    theta = rng.normal(0, kind.spread, kind.essays)
    chance = 1 / (1 + np.exp(-(theta[first] - theta[second] + kind.position)))
    p = len(first)
    return SimulatedJudge(
        kind,
        first,
        second,
        chance,
        rng.random(p) < kind.repeatability,
        rng.random(p) < chance,
        rng.random(p) < kind.error_rate,
    )


def point_c() -> list[Kind]:
    """Return the kinds of judges at which power may not be given away."""
    return [
        Kind(12, 66, position, r, 3.0, 0.0, False, 0.3, 3, recordings)
        for recordings in (1, 2)
        for r in (0.0, 0.7)
        for position in (0.0, 1.0)
    ]
