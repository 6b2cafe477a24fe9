"""This module models what an answer costs and how sure it is: latency, completion tokens and confidence, jointly.

Each measure is a location and a scale, with their uncertainty, around residuals that are resampled from the recording.
Residuals of one answer stay together, so latency keeps its link to tokens; where neighbours resemble each other (the
load of a host), those of neighbours are drawn alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from cj_pipeline.bt.agreement import mid_ranks
from cj_pipeline.mock.model.answers import FloatArray, IntArray, RealArray
from cj_pipeline.mock.model.slow import SlowPart, fit_slow, normal_share
from cj_pipeline.mock.model.unknown import filled

_LOGARITHMIC = (True, True, False)
_LEAST = 0.5  # a logarithm of 0 ms or 0 tokens
LEAST_SHAPE = 8  # recorded answers; fewer may all be alike when they are drawn again
_LEAST_DEVIATION = 0.1
_SHAPES = 1_000
# Without it, .4 % of faithful runs had a p99 above the limit of .1 % (132 recorded answers, 198 live ones).
_TAILS = 0.7
_MOST = np.float32(25.0)  # the logarithm of two years in milliseconds


@dataclass(frozen=True, eq=False)
class MeasureFit:
    """The measures of the recorded answers.

    residuals: (n, 3) of mean 0 and deviation 1, or 0 where all are equal. mean, deviation: (3,) of the logarithms
    (latency, tokens) or values (confidence). known: (3,) how many values they are of: tokens and confidence of some
    answers may be unknown. gap: (n,) log-odds between the two essays of each answer, without sign.
    slow: how much of the variation of latency and of tokens is slow.
    """

    residuals: FloatArray
    mean: FloatArray
    deviation: FloatArray
    known: IntArray
    gap: FloatArray
    slow: tuple[SlowPart, SlowPart]

    @property
    def answers(self) -> int:
        """How many answers the fit has seen."""
        return len(self.residuals)

    # A large comparison draws in 50 parts, and each needs these.

    @cached_property
    def kurtosis(self) -> FloatArray:
        """(3,) as if there were 30 more answers of a normal one: few answers say little about it."""
        squares = self.residuals**2
        return np.asarray(((squares**2).sum(axis=0) + 30 * 3.0) / (self.answers + 30))

    @cached_property
    def by_latency(self) -> RealArray:
        """(n, 2) residuals of latency and tokens, ascending by latency."""
        order = np.argsort(self.residuals[:, 0], kind="stable")
        return np.asarray(self.residuals[order, :2].astype(np.float32))

    @cached_property
    def confidence(self) -> RealArray:
        """(n,) residuals of confidence, ascending."""
        return np.asarray(np.sort(self.residuals[:, 2]).astype(np.float32))

    @cached_property
    def confidence_link(self) -> tuple[float, float]:
        """Correlation of confidence with the gap, in normal scores, and its standard error."""
        n = self.answers
        gaps, scores = normal_scores(self.gap), normal_scores(self.residuals[:, 2])
        # Few values of confidence hide a part of the link behind ties: the seen one is that much smaller, and less
        # certain.
        seen = float((np.sort(scores) * ndtri((np.arange(n) + 0.5) / n)).mean())
        link = float((gaps * scores).mean()) / seen if seen > 0 else 0.0
        error = float(np.sqrt((scores**2).mean() / max(n - 3, 1))) / seen if seen > 0 else 1.0
        return link, error


@dataclass(frozen=True, slots=True, eq=False)
class MeasureDraws:
    """Drawn answers, one row a draw: (d, n) milliseconds, tokens, points of 5."""

    latency_ms: RealArray
    completion_tokens: RealArray
    confidence: RealArray


def fit_measures(
    latency_ms: FloatArray, completion_tokens: FloatArray, confidence: FloatArray, gap: FloatArray
) -> MeasureFit:
    """Fit the measures of recorded answers, each (n,), in their order of arrival; at least one answer.

    Tokens and confidence are nan where they are not known.
    """
    known = np.array([np.count_nonzero(~np.isnan(column)) for column in (latency_ms, completion_tokens, confidence)])
    mean, deviation = np.zeros(3), np.zeros(3)
    for place, column in enumerate((latency_ms, completion_tokens, confidence)):
        value = column[~np.isnan(column)]
        value = np.log(np.maximum(value, _LEAST)) if _LOGARITHMIC[place] else value
        if len(value):
            mean[place], deviation[place] = value.mean(), value.std(ddof=1) if len(value) > 1 else 0.0
    completion_tokens = filled(completion_tokens, latency_ms, otherwise=1.0)
    confidence = filled(confidence, gap, otherwise=0.0)
    values = np.stack(
        [
            np.log(np.maximum(column, _LEAST)) if logarithmic else column
            for column, logarithmic in zip((latency_ms, completion_tokens, confidence), _LOGARITHMIC, strict=True)
        ],
        axis=1,
    )
    deviation[deviation < 1e-12 * np.maximum(np.abs(mean), 1.0)] = 0.0
    residuals = np.where(deviation > 0, (values - mean) / np.where(deviation > 0, deviation, 1.0), 0.0)
    latency, tokens = (fit_slow(normal_scores(residuals[:, column])) for column in (0, 1))
    return MeasureFit(residuals, mean, deviation, known, gap, (latency, tokens))


def draw_measures(fit: MeasureFit, draws: int, gap: FloatArray, rng: np.random.Generator) -> MeasureDraws:
    """Draw the answers of a faithful judge, `draws` times; the uncertainty of the fit is part of each draw.

    gap: (n,) log-odds between the essays of each answer to draw, to which confidence keeps its link.
    """
    n, answers = fit.answers, len(gap)
    bandwidth = min(0.5, 1.06 * n**-0.2) if n > 1 else 0.0
    # Location and scale are as uncertain as the recording is short. One answer less than there are: of 15 answers,
    # intervals of 95 % held 93.5 % without it.
    worth = np.maximum(fit.known - 1, 1)
    # One value in all answers has a kurtosis of 0, and then no scale to be uncertain of.
    freedom = np.maximum((worth - 1) * 2 / np.maximum(fit.kurtosis - 1, 1e-3), 1.0)
    scale = np.sqrt(freedom / rng.chisquare(freedom, (draws, 3)))
    variance = np.broadcast_to(1 / worth, (draws, 3)).copy()
    cells = [slow.drawn_cells(draws, rng) for slow in fit.slow]
    for column, (slow, cell) in enumerate(zip(fit.slow, cells, strict=True)):
        scale[:, column] *= slow.size[cell]
        variance[:, column] = slow.variance_of_mean(n)[cell] * n / worth[column]
    # Which answers are drawn follows latency; of tokens that are slow in their own way, the live mean varies as well.
    variance[:, 1] += np.maximum(fit.slow[1].variance_of_mean(max(answers, 1))[cells[1]] - 1 / max(answers, 1), 0.0)
    location = scale * rng.standard_normal((draws, 3)) * np.sqrt(variance)
    shift, slope = fit.mean + fit.deviation * location, fit.deviation * scale
    shapes = _shapes(fit, draws, rng)
    _, kinds, size = shapes.shape
    kind = rng.integers(0, kinds, (draws, 1), dtype=np.int32)
    index = (fit.slow[0].ranks(cells[0], answers, rng) * np.float32(size)).astype(np.int32)
    np.minimum(index, size - 1, out=index)
    index += kind * np.int32(size)
    # What smooths the residuals of an answer has their correlation: on its own it would take a link of .9 down to .74
    # (66 answers).
    link = np.clip((shapes[0] * shapes[1]).mean(axis=1), -1, 1)[kind]
    smoothing = rng.standard_normal((2, draws, answers), dtype=np.float32)
    smoothing[1] *= np.sqrt(1 - link**2)
    smoothing[1] += link * smoothing[0]
    smoothing *= np.float32(bandwidth)

    def whole(column: int) -> RealArray:
        """Whole numbers, as on the wire: half a millisecond, the least that a logarithm takes, is 0 again."""
        if fit.deviation[column] == 0.0:
            return np.full((draws, answers), np.round(np.exp(fit.mean[column])))
        # Single precision halves the time, and seven digits of a residual are enough.
        residual = shapes[column].ravel()[index]
        residual += smoothing[column]
        residual *= (slope[:, column, None] / np.sqrt(1 + bandwidth**2)).astype(np.float32)
        residual += shift[:, column, None].astype(np.float32)
        # Two answers leave the scale so uncertain that some draws lie beyond any number.
        return np.asarray(np.round(np.exp(np.minimum(residual, _MOST))))

    confidence = _confidence_residuals(fit, gap, draws, rng)
    confidence *= slope[:, 2, None].astype(np.float32)
    confidence += shift[:, 2, None].astype(np.float32)
    if fit.deviation[2] == 0.0:  # one value in n answers does not make another one impossible
        another = rng.random(confidence.shape) < rng.beta(1.0, n, (draws, 1))
        confidence = np.where(another, rng.integers(2, 11, confidence.shape) / 2, confidence)
    return MeasureDraws(whole(0), whole(1), confidence)


def _confidence_residuals(fit: MeasureFit, gap: FloatArray, draws: int, rng: np.random.Generator) -> RealArray:
    """(draws, n) residuals of confidence, correlated with the gap as the recorded ones are (a Gaussian copula).

    The correlation itself is drawn: 20 answers leave it uncertain by .2.
    """
    n, (link, error) = fit.answers, fit.confidence_link
    drawn = np.tanh(np.arctanh(np.clip(link, -0.99, 0.99)) + error * rng.standard_normal((draws, 1)))
    score = rng.standard_normal((draws, len(gap)), dtype=np.float32)
    score *= np.sqrt(1 - drawn**2).astype(np.float32)
    score += drawn.astype(np.float32) * normal_scores(gap).astype(np.float32)
    return np.asarray(fit.confidence[np.minimum((normal_share(score) * n).astype(np.int32), n - 1)])


def normal_scores(values: FloatArray) -> FloatArray:
    """Return (n,) normal quantiles of the ranks, ties sharing theirs; of mean square about 1."""
    if len(values) < 2:
        return np.zeros(len(values))
    return np.asarray(ndtri(0.5 + mid_ranks(values) / (len(values) + 1)))


def _shapes(fit: MeasureFit, draws: int, rng: np.random.Generator) -> RealArray:
    """(2, s, n) residuals of latency and tokens in recordings drawn from the recorded one, ascending by latency.

    Each has mean 0 and deviation 1. So a draw's answers have a shape in common, which is as uncertain as the recording
    is short.
    """
    n = fit.answers
    shapes = min(draws, _SHAPES)
    if n < LEAST_SHAPE:
        return np.asarray(fit.by_latency.T[:, None])
    rows = np.sort(rng.integers(0, n, (shapes, n)), axis=1)
    found: RealArray = np.stack([column[rows] for column in fit.by_latency.T])
    # No resample reaches beyond the recorded answers; how heavy the tails are, n of them leave uncertain by this much.
    heavier = np.abs(rng.normal(0, _TAILS / np.sqrt(n), (1, shapes, 1))).astype(np.float32)
    found = found * np.exp(np.minimum(heavier * found**2 / 2, 1))
    centred = found - found.mean(axis=2, keepdims=True)
    deviation = centred.std(axis=2, keepdims=True)
    return np.asarray(centred / np.maximum(deviation, np.float32(_LEAST_DEVIATION)))
