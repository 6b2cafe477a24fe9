"""This module fits what depends on the order of calls: slow drift of latencies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cj_pipeline.mock.mode.latency import Drift
from cj_pipeline.mock.model.answers import Answers
from cj_pipeline.mock.model.measures import normal_scores

# Neighbours over which latencies are compared: near ones say how much of the variation is slow, far ones how slow.
NEAR = range(1, 6)
FAR = range(6, 11)

# So many standard errors must near neighbours correlate: 1 of 2,000 recordings without drift has it.
LEAST_DRIFT = 3.3


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
