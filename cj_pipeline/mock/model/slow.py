"""This module says how much of a measure's variation is slow, and how sure a recording makes of it.

A slow part (an autoregression of first order, as the mock's `drift`) makes neighbours alike, and means less certain
than as many independent answers. 10 to 66 answers hardly show it, so it is never taken for absent: it has a prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cj_pipeline.mock.model.answers import FloatArray, IntArray, RealArray

# One judge in twenty drifts, and a large slow part is rarer than a small one. No prior holds both sides: at 66 answers,
# a part of .3 that fades over 20 calls cannot be told from none. Against one judge in ten with even shares, gates of
# time find x.8 of 66 answers in 63 instead of 53 %, x1.5 in 99.5 instead of 88 %, x.6 of 20 answers in 55 instead of
# 8 %; false alarms of judges that do drift (.1 over 20 calls, .3 over 5) are 1.6 and 3.7 % instead of .5 and .5 %.
# Without a slow part x.8 is found in 98 %, and such judges are false alarms in 23 to 42 %.
_DRIFTING = 0.05
_SHARES = (0.1, 0.25, 0.5, 0.75)
_OF_SHARES = (0.6, 0.3, 0.08, 0.02)
# Calls over which a change fades; slower ones only in recordings that can show them. What is slower still is the load
# of a host (`latency: host`).
_FADES = (5, 20, 80, 320)
_ALWAYS, _PERIODS = 20, 4


@dataclass(frozen=True, slots=True, eq=False)
class SlowPart:
    """The posterior over cells of how much is slow; the first cell is without a slow part.

    probability: (g,) of each cell. share: (g,) of the variation. kept: (g,) correlation of a slow value with the next.
    size: (g,) the long run's deviation over the recorded one. answers: recorded ones.
    """

    probability: FloatArray
    share: FloatArray
    kept: FloatArray
    size: FloatArray
    answers: int

    @property
    def probable(self) -> float:
        """How probably there is a slow part."""
        return float(1 - self.probability[0])

    def variance_of_mean(self, answers: int) -> FloatArray:
        """Return (g,) the variance of a mean of so many answers in a row, where that of one answer is 1."""
        kept, n = self.kept, answers
        # The sum of (1 - k/n) kept^k over k from 1 to n - 1.
        together = kept / (1 - kept) - kept * (1 - kept**n) / (n * (1 - kept) ** 2)
        return np.asarray((1 + 2 * self.share * np.maximum(together, 0.0)) / n)

    def drawn_cells(self, draws: int, rng: np.random.Generator) -> IntArray:
        """Draw (draws,) cells."""
        return np.asarray(rng.choice(len(self.probability), size=draws, p=self.probability))

    def ranks(self, cells: IntArray, answers: int, rng: np.random.Generator) -> RealArray:
        """Draw (d, answers) even numbers from 0 to 1, of which neighbours are as alike as each row's cell says."""
        even = rng.random((len(cells), answers), dtype=np.float32)
        for cell in np.unique(cells[cells > 0]).tolist():
            rows = np.flatnonzero(cells == cell)
            slow = rng.standard_normal((answers, len(rows)), dtype=np.float32)
            # Of the long run's size from the first call on. (`scipy.signal` has this loop, and takes .5 s to import.)
            slow[1:] *= np.float32(np.sqrt(1 - self.kept[cell] ** 2))
            kept = np.float32(self.kept[cell])
            for call in range(1, answers):
                slow[call] += kept * slow[call - 1]
            own = rng.standard_normal((len(rows), answers), dtype=np.float32)
            share = self.share[cell]
            even[rows] = normal_share(np.float32(np.sqrt(share)) * slow.T + np.float32(np.sqrt(1 - share)) * own)
        return even


def fit_slow(scores: FloatArray) -> SlowPart:
    """Fit the slow part of (n,) normal scores in their order: the likelihood of their periodogram, over a grid."""
    n = len(scores)
    fades = [fade for fade in _FADES if fade <= max(_ALWAYS, n / _PERIODS)]
    share = np.array([0.0, *(share for share in _SHARES for _ in fades)])
    kept = np.exp(-1 / np.array([1e-9, *(fade for _ in _SHARES for fade in fades)]))
    prior = np.array([1 - _DRIFTING, *(_DRIFTING * weight / len(fades) for weight in _OF_SHARES for _ in fades)])
    centred = scores - scores.mean()
    if n < 3 or not centred.any():
        changes = n >= 3  # equal values have no slow part; one or two say nothing of it
        return SlowPart(np.eye(len(share))[0] if changes else prior, share, kept, np.ones(len(share)), n)
    found = np.abs(np.fft.rfft(centred))[1:] ** 2 / n
    lags = np.arange(n)
    correlation = np.where(lags == 0, 1.0, 2 * share[:, None] * kept[:, None] ** lags)
    expected = np.fft.rfft((1 - lags / n) * correlation, axis=1).real[:, 1:]
    weight = np.ones(len(found))
    if n % 2 == 0:
        weight[-1] = 0.5
    size = (found / expected) @ weight / weight.sum()
    log_posterior = np.log(prior) - np.log(expected) @ weight - weight.sum() * np.log(size)
    probability = np.exp(log_posterior - log_posterior.max())
    return SlowPart(probability / probability.sum(), share, kept, np.sqrt(size / size[0]), n)


def normal_share(values: RealArray) -> RealArray:
    """Return the share of a normal distribution below each value, to .0002: a logistic curve of odd powers."""
    return np.asarray(1 / (1 + np.exp(-values * (np.float32(1.5976) + np.float32(0.070566) * values * values))))
