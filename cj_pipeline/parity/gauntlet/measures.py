"""This module lists the wrong mocks that take another time, or are sure of their answers in another way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from cj_pipeline.mock.model.answers import RealArray
from cj_pipeline.parity.comparison import Sample
from cj_pipeline.parity.gauntlet.faithful import Faithful
from cj_pipeline.parity.gauntlet.wrong_mock import SAME, DrawnMock, Group, LeftOut
from cj_pipeline.parity.statistics import places

_LEAST_CONFIDENCE, _MOST_CONFIDENCE = 1.0, 5.0
_FEWEST_DIFFERENT = 0.02
_A_MINUTE_MS = 60_000.0
NO_ANSWER = LeftOut("a side has no answer")

Change = Callable[[Faithful, RealArray], RealArray]


def scaled(factor: float) -> Change:
    """Return a change that makes every value so many times as large."""
    return lambda faithful, values: values * factor


def surer(points: float) -> Change:
    """Return a change that adds to every confidence, within its range."""
    return lambda faithful, values: np.clip(values + points, _LEAST_CONFIDENCE, _MOST_CONFIDENCE)


def with_latency(faithful: Faithful, change: Change) -> Sample | LeftOut:
    """Return live sides with other latencies."""
    changed = _changed(faithful, faithful.measures.latency_ms, change)
    if isinstance(changed, LeftOut):
        return changed
    return Sample(latency_ms=changed, completion_tokens=faithful.measures.completion_tokens)


def with_confidence(faithful: Faithful, change: Change) -> Sample | LeftOut:
    """Return live sides with another confidence."""
    values = faithful.measures.confidence
    changed = _changed(faithful, values, change)
    if isinstance(changed, LeftOut):
        return changed
    # Of a judge that is always equally sure, a few draws are of another confidence.
    return Sample(confidence=changed) if float((changed != values).mean()) >= _FEWEST_DIFFERENT else SAME


def _changed(faithful: Faithful, values: RealArray | None, change: Change) -> RealArray | LeftOut:
    if values is None:
        return NO_ANSWER
    changed = change(faithful, values)
    return SAME if np.array_equal(changed, values) else changed


def _clipped(faithful: Faithful, values: RealArray, share: float) -> RealArray:
    return np.minimum(values, np.quantile(values, share, axis=1, keepdims=True))


def _bimodal(faithful: Faithful, values: RealArray) -> RealArray:
    """Half as fast or half as slow again, at random: the mean stays."""
    fast = faithful.generator("bimodal").random(values.shape) < 0.5
    return np.where(fast, 0.5, 1.5) * values


def _slowest_doubled(faithful: Faithful, values: RealArray) -> RealArray:
    slowest = values >= np.quantile(values, 0.98, axis=1, keepdims=True)
    return np.where(slowest, 2 * values, values)


def _one_minute(faithful: Faithful, values: RealArray) -> RealArray:
    changed = values.copy()
    changed[:, values.shape[1] // 2] = np.maximum(_A_MINUTE_MS, changed[:, values.shape[1] // 2])
    return changed


def _drifting(faithful: Faithful, values: RealArray) -> RealArray:
    return np.asarray(values * (0.8 + 0.4 * places(faithful.case)))


def _shuffled(faithful: Faithful, values: RealArray) -> RealArray:
    return np.asarray(faithful.generator("shuffled").permuted(values, axis=1))


def _link_lost(faithful: Faithful) -> Sample | LeftOut:
    tokens = faithful.measures.completion_tokens
    if tokens is not None and (tokens == tokens[:, :1]).all():
        return LeftOut("completion tokens are all equal, so latency has no link to them")
    return with_latency(faithful, _shuffled)


def _confidence_of_one_value(faithful: Faithful, values: RealArray) -> RealArray:
    recorded = faithful.case.recorded
    return np.full_like(values, float(recorded.confidence[recorded.rated].mean()))


def _time(name: str, change: str, latency: Change) -> DrawnMock:
    return DrawnMock(name, Group.TIME, change, lambda faithful: with_latency(faithful, latency))


TIME: tuple[DrawnMock, ...] = (
    _time("no tail", "is never slower than 95 % of recorded answers", lambda f, x: _clipped(f, x, 0.95)),
    _time("clipped at p75", "is never slower than 75 % of recorded answers", lambda f, x: _clipped(f, x, 0.75)),
    _time("latency x1.5", "takes half as long again", scaled(1.5)),
    _time("latency x.6", "takes 40 % less time", scaled(0.6)),
    _time("latency x.8", "takes 20 % less time", scaled(0.8)),
    _time("latency x.9", "takes 10 % less time", scaled(0.9)),
    _time("latency x1.05", "takes 5 % longer", scaled(1.05)),
    _time("latency x1.1", "takes 10 % longer", scaled(1.1)),
    _time("bimodal latency", "is half as fast or half as slow again, with the same mean", _bimodal),
    _time("slowest 2 % doubled", "takes twice as long for its slowest 2 %", _slowest_doubled),
    _time("one answer of 60 s", "takes a minute for one answer", _one_minute),
    _time("latency drifts", "grows slower over a batch, from .8 to 1.2 times", _drifting),
    DrawnMock("link to tokens lost", Group.TIME, "takes no longer for more tokens", _link_lost),
)

CONFIDENCE: tuple[DrawnMock, ...] = tuple(
    DrawnMock(name, Group.VALUES, change, partial(with_confidence, change=confidence))
    for name, change, confidence in (
        ("confidence constant", "is equally sure of every answer", _confidence_of_one_value),
        ("confidence +.4", "is surer by .4 points", surer(0.4)),
        ("confidence reversed", "is sure where the judge is not", lambda _, values: 6.0 - values),
        ("confidence 0 to 1", "gives confidence on a scale from 0 to 1", lambda _, values: (values - 1.0) / 4.0),
    )
)
