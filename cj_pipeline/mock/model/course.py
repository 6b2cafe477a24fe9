"""This module fits what depends on order and on repeats: slow drift of latencies, and prompts that fail each time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cj_pipeline.mock.mode.latency import Drift
from cj_pipeline.mock.model.answers import Answers, Prompt
from cj_pipeline.mock.model.errors import LEAST_ERRORS
from cj_pipeline.mock.model.measures import normal_scores

# Neighbours over which latencies are compared: near ones say how much of the variation is slow, far ones how slow.
NEAR = range(1, 6)
FAR = range(6, 11)

# So many standard errors must near neighbours correlate: 1 of 2,000 recordings without drift has it.
LEAST_DRIFT = 3.3

# So many prompts asked more than once say whether errors come back at the same ones.
LEAST_REPEATED = 20


def fit_drift(recordings: Sequence[Answers]) -> Drift:
    """Fit how much of the variation of latencies is slow, and over how many calls it fades; none unless proven."""
    scores = [normal_scores(answers.latency_ms[answers.answered]) for answers in recordings]
    scores = [one for one in scores if len(one) > 3 * FAR[-1] and one.std() > 0]
    if not scores:
        return Drift()
    near, far = (float(np.mean([_correlation(scores, lag) for lag in lags])) for lags in (NEAR, FAR))
    calls = sum(len(one) for one in scores)
    if near * np.sqrt(len(NEAR) * calls) < LEAST_DRIFT:
        return Drift()
    kept = float(np.clip((max(far, 0.0) / near) ** (1 / len(NEAR)), 0.5, 0.99))
    share = float(np.clip(near / np.mean([kept**lag for lag in NEAR]), 0.0, 0.95))
    return Drift(share=round(share, 3), calls=round(-1 / np.log(kept), 1))


def _correlation(scores: Sequence[np.ndarray], lag: int) -> float:
    """Return the correlation of values so many places apart, over all recordings."""
    together = sum(float((one[:-lag] * one[lag:]).sum()) for one in scores)
    alone = sum(float((one**2).sum()) * (len(one) - lag) / len(one) for one in scores)
    return together / alone


def fit_repeated_errors(recordings: Sequence[Answers]) -> tuple[float, dict[str, dict[str, int]]]:
    """Return the share of prompts of which it is fixed whether they fail, and how often each prompt failed.

    The share is that by which two calls of one prompt fail together more often than two calls at all; 0 where too few
    prompts were asked twice, or too few calls failed, to say.
    """
    counts: dict[Prompt, list[int]] = {}
    for answers in recordings:
        for prompt, winner in zip(answers.prompts(by_hash=False), answers.winner.tolist(), strict=True):
            entry = counts.setdefault(prompt, [0, 0])
            entry[0] += 1
            entry[1] += winner < 0
    failed: dict[str, dict[str, int]] = {}
    for (_, first, second), (_, errors) in counts.items():
        if errors:
            failed.setdefault(first, {})[second] = errors
    calls, errors = (sum(entry[place] for entry in counts.values()) for place in (0, 1))
    again = [(asked, fails) for asked, fails in counts.values() if asked > 1]
    if errors < LEAST_ERRORS or len(again) < LEAST_REPEATED or errors == calls:
        return 0.0, {}
    rate = errors / calls
    both = sum(fails * (fails - 1) / (asked * (asked - 1)) for asked, fails in again) / len(again)
    share = float(np.clip((both - rate**2) / (rate * (1 - rate)), 0.0, 1.0))
    return (round(share, 4), failed) if share > 0.0 else (0.0, {})
