"""This module models what an answer costs and how sure it is: latency, completion tokens and confidence, jointly.

Each measure is a location and a scale, with their uncertainty, around residuals that are resampled from the recording.
Residuals of one answer stay together, so latency keeps its link to tokens; where neighbours resemble each other (the
load of a host), blocks of neighbours stay together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from cj_pipeline.mock.model.answers import FloatArray, IntArray

_LOGARITHMIC = (True, True, False)
_LEAST = 0.5  # a logarithm of 0 ms or 0 tokens
LEAST_SHAPE = 8  # recorded answers; fewer may all be alike when they are drawn again
_LEAST_VARIANCE = 0.01
_MOST = np.float32(25.0)  # the logarithm of two years in milliseconds


@dataclass(frozen=True, slots=True, eq=False)
class MeasureFit:
    """The measures of the recorded answers.

    residuals: (n, 3) of mean 0 and deviation 1, or 0 where all are equal. mean, deviation: (3,) of the logarithms
    (latency, tokens) or values (confidence). gap: (n,) log-odds between the two essays of each answer, without sign.
    blocks: over how many answers neighbours resemble each other, by measure; 1 where they do not.
    """

    residuals: FloatArray
    mean: FloatArray
    deviation: FloatArray
    gap: FloatArray
    blocks: tuple[int, int, int]

    @property
    def block(self) -> int:
        """How many neighbours stay together."""
        return max(self.blocks)

    @property
    def answers(self) -> int:
        """How many answers the fit has seen."""
        return len(self.residuals)


@dataclass(frozen=True, slots=True, eq=False)
class MeasureDraws:
    """Drawn answers, one row a draw: (d, n) milliseconds, tokens, points of 5."""

    latency_ms: FloatArray
    completion_tokens: FloatArray
    confidence: FloatArray


def fit_measures(
    latency_ms: FloatArray, completion_tokens: FloatArray, confidence: FloatArray, gap: FloatArray
) -> MeasureFit:
    """Fit the measures of recorded answers, each (n,), in their order of arrival; at least one answer."""
    values = np.stack(
        [
            np.log(np.maximum(column, _LEAST)) if logarithmic else column
            for column, logarithmic in zip((latency_ms, completion_tokens, confidence), _LOGARITHMIC, strict=True)
        ],
        axis=1,
    )
    mean = values.mean(axis=0)
    deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(3)
    deviation[deviation < 1e-12 * np.maximum(np.abs(mean), 1.0)] = 0.0
    residuals = np.where(deviation > 0, (values - mean) / np.where(deviation > 0, deviation, 1.0), 0.0)
    blocks = _block_length(residuals[:, 0]), _block_length(residuals[:, 1]), 1
    return MeasureFit(residuals, mean, deviation, gap, blocks)


def draw_measures(fit: MeasureFit, draws: int, gap: FloatArray, rng: np.random.Generator) -> MeasureDraws:
    """Draw the answers of a faithful judge, `draws` times; the uncertainty of the fit is part of each draw.

    gap: (n,) log-odds between the essays of each answer to draw, to which confidence keeps its link.
    """
    n, answers = fit.answers, len(gap)
    shape = _resampled(fit, draws, answers, rng)
    bandwidth = min(0.5, 1.06 * n**-0.2) if n > 1 else 0.0
    # Location and scale are as uncertain as the recording is short; neighbours that are alike make it shorter. One
    # answer less than there are: of 15 answers, intervals of 95 % held 93.5 % without it.
    worth = np.maximum(n / np.array(fit.blocks) - 1, 1.0)
    freedom = np.maximum((worth - 1) * 2 / (_kurtosis(fit.residuals) - 1), 1.0)
    scale = np.sqrt(freedom / rng.chisquare(freedom, (draws, 3)))
    location = scale * rng.standard_normal((draws, 3)) / np.sqrt(worth)
    shift, slope = fit.mean + fit.deviation * location, fit.deviation * scale

    def whole(column: int) -> FloatArray:
        """Whole numbers, as on the wire: half a millisecond, the least that a logarithm takes, is 0 again."""
        if fit.deviation[column] == 0.0:
            return np.full((draws, answers), np.round(np.exp(fit.mean[column])))
        # The resampled answers have a mean and a deviation of their own, which are taken out: the draws of location
        # and scale above stand for them. Single precision halves the time, and seven digits are enough.
        factor = slope[:, column] / np.sqrt(1 + bandwidth**2)
        residual = fit.residuals[:, column].astype(np.float32)[shape.index]
        residual *= (factor / shape.deviation[:, column])[:, None].astype(np.float32)
        residual += rng.standard_normal((draws, answers), dtype=np.float32) * (factor * bandwidth)[:, None].astype(
            np.float32
        )
        moved = shift[:, column] - factor * shape.mean[:, column] / shape.deviation[:, column]
        residual += moved[:, None].astype(np.float32)
        # Two answers leave the scale so uncertain that some draws lie beyond any number.
        return np.round(np.exp(np.minimum(residual, _MOST))).astype(np.float64)

    confidence = shift[:, 2, None] + slope[:, 2, None] * _confidence_residuals(fit, gap, draws, rng)
    if fit.deviation[2] == 0.0:  # one value in n answers does not make another one impossible
        another = rng.random(confidence.shape) < rng.beta(1.0, n, (draws, 1))
        confidence = np.where(another, rng.integers(2, 11, confidence.shape) / 2, confidence)
    return MeasureDraws(whole(0), whole(1), confidence)


def _kurtosis(residuals: FloatArray) -> FloatArray:
    """(3,) kurtosis, as if there were 30 more answers of a normal one: few answers say little about it."""
    return np.asarray(((residuals**4).sum(axis=0) + 30 * 3.0) / (len(residuals) + 30))


def _confidence_residuals(fit: MeasureFit, gap: FloatArray, draws: int, rng: np.random.Generator) -> FloatArray:
    """(draws, n) residuals of confidence, correlated with the gap as the recorded ones are (a Gaussian copula).

    The correlation itself is drawn: 20 answers leave it uncertain by .2.
    """
    n = fit.answers
    gaps, scores = normal_scores(fit.gap), normal_scores(fit.residuals[:, 2])
    # Over the square of ties' own size: few values of confidence hide part of the link behind them.
    size = float((scores**2).mean())
    link = float((gaps * scores).mean()) / size if size > 0 else 0.0
    drawn = np.tanh(np.arctanh(np.clip(link, -0.99, 0.99)) + rng.standard_normal((draws, 1)) / np.sqrt(max(n - 3, 1)))
    score = drawn * normal_scores(gap) + np.sqrt(1 - drawn**2) * rng.standard_normal((draws, len(gap)))
    ordered = np.sort(fit.residuals[:, 2])
    return np.asarray(ordered[np.minimum((ndtr(score) * n).astype(np.intp), n - 1)])


def normal_scores(values: FloatArray) -> FloatArray:
    """Return (n,) normal quantiles of the ranks, ties sharing theirs; of mean square about 1."""
    if len(values) < 2:
        return np.zeros(len(values))
    return np.asarray(ndtri(rankdata(values) / (len(values) + 1)))


def _block_length(residuals: FloatArray) -> int:
    """1 where neighbours are unrelated, else the time (answers) over which they resemble each other; at most n / 10."""
    n = len(residuals)
    if n < 20 or residuals.std() == 0:
        return 1
    centred = residuals - residuals.mean()
    lag = [float((centred[:-k] * centred[k:]).sum() / (centred**2).sum()) for k in range(1, min(n // 4, 50))]
    if lag[0] < 2 / np.sqrt(n):
        return 1
    time = 1.0
    for value in lag:
        if value < 1 / np.sqrt(n):
            break
        time += 2 * value
    return int(min(np.ceil(time), n // 10))


@dataclass(frozen=True, slots=True, eq=False)
class _Resampled:
    """Answers by their place in the recording. index: (d, answers). mean, deviation: (d, 3) of what they come from."""

    index: IntArray
    mean: FloatArray
    deviation: FloatArray


def _resampled(fit: MeasureFit, draws: int, answers: int, rng: np.random.Generator) -> _Resampled:
    """Draw another recording from the recorded one, and the answers from that, both in blocks.

    So the answers of one draw share a shape, which is as uncertain as the recording is short.
    """
    n, block = fit.answers, fit.block
    blocks = -(-answers // block)
    if n < LEAST_SHAPE:
        index = rng.integers(0, n, (draws, answers))
        return _Resampled(index, np.zeros((draws, 3)), np.ones((draws, 3)))
    starts = rng.integers(0, n, (draws, -(-n // block)))
    place = rng.integers(0, starts.shape[1], (draws, blocks))
    chosen = np.take_along_axis(starts, place, axis=1)
    index = ((chosen[:, :, None] + np.arange(block)) % n).reshape(draws, -1)[:, :answers]
    # Sums over the block that begins at each answer.
    around = fit.residuals[(np.arange(n)[:, None] + np.arange(block)) % n]
    mean = around.mean(axis=1)[starts].mean(axis=1)
    square = (around**2).mean(axis=1)[starts].mean(axis=1)
    return _Resampled(index, mean, np.sqrt(np.maximum(square - mean**2, _LEAST_VARIANCE)))
