"""This module lists the wrong mocks that fail in another way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cj_pipeline.mock.model.answers import IntArray
from cj_pipeline.mock.model.errors import LEAST_ERRORS
from cj_pipeline.parity.comparison import Sample
from cj_pipeline.parity.gauntlet.faithful import Faithful
from cj_pipeline.parity.gauntlet.wrong_mock import SAME, DrawnMock, Group, LeftOut

ANSWER = -1
_NO_CALL = LeftOut("a side has no call")

Change = Callable[[Faithful, IntArray], IntArray | LeftOut]


def with_errors(faithful: Faithful, change: Change) -> Sample | LeftOut:
    """Return live sides with other errors."""
    errors = faithful.measures.errors
    if errors is None:
        return _NO_CALL
    changed = change(faithful, errors)
    if isinstance(changed, LeftOut):
        return changed
    if np.array_equal(changed, errors):
        return SAME
    return Sample(errors=changed, retries=faithful.measures.retries)


def failing_more(faithful: Faithful, errors: IntArray, share: float) -> IntArray:
    """Return errors of a mock that fails in a share of all calls more than were recorded, with the recorded codes.

    A judge may fail more often than 10 calls show, but a mock fails as often as they show: so errors that are drawn
    beyond the recorded rate are none of its.
    """
    rng, case = faithful.generator("more errors"), faithful.case
    chance, kept = rng.random(errors.shape), rng.random(errors.shape)
    recorded = case.errors.errors / max(len(case.recorded), 1)
    as_recorded = np.where(kept < recorded / max(float((errors >= 0).mean()), 1e-9), errors, ANSWER)
    more = chance < min(1.0, share / max(1.0 - recorded, 1e-9))
    return np.where((as_recorded == ANSWER) & more, 0, as_recorded)


def failing_less(faithful: Faithful, errors: IntArray, share: float) -> IntArray:
    """Return errors of a mock that answers in a share of all calls more."""
    chance = faithful.generator("fewer errors").random(errors.shape)
    fewer = chance < share / max(float((errors >= 0).mean()), 1e-9)
    return np.where(fewer, ANSWER, errors)


def _known(change: Change) -> Change:
    """Leave a mock out where too little is known of the recorded errors."""

    def checked(faithful: Faithful, errors: IntArray) -> IntArray | LeftOut:
        recorded = faithful.case.errors.errors
        if recorded >= LEAST_ERRORS:
            return change(faithful, errors)
        return LeftOut(f"{recorded} recorded errors say nothing about it; it takes {LEAST_ERRORS}")

    return checked


def _independent(faithful: Faithful, errors: IntArray) -> IntArray:
    return np.asarray(faithful.generator("independent").permuted(errors, axis=1))


def _one_burst(faithful: Faithful, errors: IntArray) -> IntArray:
    """All errors of a run, one after the other, from the first call on."""
    return np.asarray(-np.sort(-errors, axis=1))


def _never_on_retry(faithful: Faithful, errors: IntArray) -> IntArray | LeftOut:
    retries = faithful.measures.retries
    if retries is None or not retries.any():
        return LeftOut("the live side has no call that is made again")
    return np.where(retries & (errors == ANSWER), 0, errors)


def _wrong_code(faithful: Faithful, errors: IntArray) -> IntArray:
    return np.where(errors == ANSWER, ANSWER, len(faithful.case.errors.codes)).astype(np.intp)


def _rotated(faithful: Faithful, errors: IntArray) -> IntArray | LeftOut:
    codes = len(faithful.case.errors.codes)
    if codes < 2:
        return LeftOut("the recording has one error code")
    return np.where((errors >= 0) & (errors < codes), (errors + 1) % codes, errors)


def _as_answers(faithful: Faithful, errors: IntArray) -> IntArray:
    return np.full_like(errors, ANSWER)


def _mock(name: str, change: str, errors: Change) -> DrawnMock:
    return DrawnMock(name, Group.ERRORS, change, lambda faithful: with_errors(faithful, errors))


MOCKS: tuple[DrawnMock, ...] = (
    _mock("independent errors", "fails at any call instead of in bursts", _known(_independent)),
    _mock("one burst of errors", "fails as often, at one stretch", _known(_one_burst)),
    _mock("no retry succeeds", "never succeeds when a call is made again", _never_on_retry),
    _mock("wrong error code", "fails with a code that was never recorded", _known(_wrong_code)),
    _mock("error codes rotated", "fails with another of the recorded codes", _known(_rotated)),
    _mock("5 % more errors", "fails in 5 % of all calls more", lambda f, errors: failing_more(f, errors, 0.05)),
    _mock("errors arrive as answers", "answers where the judge fails", _known(_as_answers)),
)
