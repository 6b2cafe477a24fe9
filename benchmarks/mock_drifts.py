"""This module lets the answers of a mock's own run drift: what `gauntlet` does to drawn judges, done to real callbacks.

It shares no code with the gauntlet's drifts, so that one can be checked by the other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from cj_pipeline.mock.model.answers import BoolArray, FloatArray, RealArray
from cj_pipeline.parity.comparison import Comparison, Sample


def drifted(kind: str, case: Comparison, size: float, rng: np.random.Generator) -> Sample:
    """Return the live side of a comparison after a drift. kind, size: as a detection limit names them."""
    return _DRIFTS[kind](case, size, rng)


def _latency(case: Comparison, size: float, rng: np.random.Generator) -> Sample:
    live = case.observed
    return Sample(latency_ms=_times(live.latency_ms, 1 + size / 100), completion_tokens=live.completion_tokens)


def _tokens(case: Comparison, size: float, rng: np.random.Generator) -> Sample:
    live, factor = case.observed, 1 + size / 100
    return Sample(
        prompt_tokens=_times(live.prompt_tokens, factor), completion_tokens=_times(live.completion_tokens, factor)
    )


def _confidence(case: Comparison, size: float, rng: np.random.Generator) -> Sample:
    assert case.observed.confidence is not None  # noqa: S101
    return Sample(confidence=np.clip(case.observed.confidence + size, 1.0, 5.0))


def _errors(case: Comparison, size: float, rng: np.random.Generator) -> Sample:
    live = case.observed
    assert live.errors is not None  # noqa: S101
    answered = live.errors < 0
    chance = size / 100 / max(float(answered.mean()), 1e-9)
    return Sample(
        errors=np.where(answered & (rng.random(answered.shape) < chance), 0, live.errors), retries=live.retries
    )


def _flips(case: Comparison, size: float, rng: np.random.Generator) -> Sample:
    letters = _letters(case)
    return _of_letters(case, letters ^ (rng.random(len(letters)) < size / 100))


def _position(case: Comparison, size: float, rng: np.random.Generator) -> Sample:
    """Of the answers for the place that loses, as many turn as the chance falls; fixed ones of a prompt together."""
    before, after = expit(_log_odds(case)), expit(_log_odds(case) + size)
    turns = (after - before) / (1 - before) if size > 0 else (before - after) / before
    letters, prompt, fixed = _letters(case), _prompt(case), _fixed(case, rng)
    together, alone = rng.random(len(turns)), rng.random(len(letters))
    turned = np.where(fixed[prompt], together[prompt], alone) < turns[prompt]
    return _of_letters(case, letters | turned if size > 0 else letters & ~turned)


def _repeats_lost(case: Comparison, size: float, rng: np.random.Generator) -> Sample:
    """Of the prompts whose answer is fixed, a share is answered afresh each time."""
    fixed, prompt = _fixed(case, rng), _prompt(case)
    forgotten = fixed & (rng.random(len(fixed)) < size / 100)
    afresh = rng.random(len(prompt)) < expit(_log_odds(case))[prompt]
    return _of_letters(case, np.where(forgotten[prompt], afresh, _letters(case)))


_DRIFTS: dict[str, Callable[[Comparison, float, np.random.Generator], Sample]] = {
    "latency": _latency,
    "tokens": _tokens,
    "position": _position,
    "flips": _flips,
    "repeats lost": _repeats_lost,
    "errors": _errors,
    "confidence": _confidence,
}


def _times(values: RealArray | None, factor: float) -> RealArray:
    """Whole milliseconds and tokens, as on the wire."""
    assert values is not None  # noqa: S101
    return np.round(values * factor)


def _prompt(case: Comparison) -> np.ndarray:
    """(n,) the prompt of each answer."""
    asked = case.prompts.asked
    return np.repeat(np.arange(len(asked.first)), asked.answers.astype(int))


def _letters(case: Comparison) -> BoolArray:
    """(n,) whether each answer is A: those of a prompt in any order."""
    wins, answers = case.prompts.wins.astype(int), case.prompts.asked.answers.astype(int)
    return np.concatenate([np.arange(n) < won for won, n in zip(wins, answers, strict=True)])


def _of_letters(case: Comparison, letters: BoolArray) -> Sample:
    return Sample(wins=np.bincount(_prompt(case), letters, len(case.prompts.asked.first)).astype(float)[None])


def _log_odds(case: Comparison) -> FloatArray:
    """(p,) log-odds of A under the mode, which is the mean of the fit."""
    asked, mean = case.prompts.asked, case.prompts.winner.fit.mean
    return np.asarray(mean[asked.first] - mean[asked.second] + mean[-1])


def _fixed(case: Comparison, rng: np.random.Generator) -> BoolArray:
    """Draw (p,) whether the answer to each prompt is fixed, given all answers on both sides."""
    asked, wins = case.prompts.asked, case.prompts.wins
    won, n = wins + asked.recorded_wins, asked.answers + asked.recorded
    chance, r = expit(_log_odds(case)), case.prompts.winner.fit.mean_repeatability
    given = np.where(won > 0, chance, 1 - chance)
    fixed = np.where((won == 0) | (won == n), r / (r + (1 - r) * given ** (n - 1)), 0.0)
    return np.asarray(rng.random(len(n)) < fixed)
