"""Errors: their rate, their bursts, their codes, and how little a few of them say."""

from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.mock.model.errors import draw_errors, fit_errors
from tests.mock.model.columns import answers


def recording(failed: list[bool], codes: tuple[str, ...] = ("TIMEOUT",)):
    return answers([("a", "b", -1 if one else 1) for one in failed], codes)


def drawn(failed: list[bool], calls: int = 400, codes: tuple[str, ...] = ("TIMEOUT",)) -> np.ndarray:
    return draw_errors(fit_errors((recording(failed, codes),)), 1_000, calls, np.random.default_rng(1))


def following(errors: np.ndarray) -> float:
    """Share of errors that follow another error."""
    failed = errors >= 0
    return (failed[:, 1:] & failed[:, :-1]).sum() / failed[:, 1:].sum()


def test_single_errors_are_drawn_one_by_one_at_their_rate() -> None:
    errors = drawn(([False] * 9 + [True]) * 100)
    assert (errors >= 0).mean() == pytest.approx(0.1, abs=0.01)
    assert following(errors) < 0.02


def test_bursts_are_drawn_as_bursts_at_the_same_rate() -> None:
    errors = drawn(([False] * 90 + [True] * 10) * 10)
    assert (errors >= 0).mean() == pytest.approx(0.1, abs=0.02)
    assert following(errors) == pytest.approx(0.9, abs=0.04)


def test_no_error_in_120_calls_is_no_rate_of_zero() -> None:
    rate = (drawn([False] * 120, calls=120) >= 0).mean(axis=1)
    assert 0.002 < rate.mean() < 0.012  # Jeffreys: .5 of 121
    assert np.quantile(rate, 0.5) <= 1 / 120
    assert rate.max() > 0.01


def test_every_call_failed_is_no_rate_of_one() -> None:
    assert 0.9 < (drawn([True] * 40, calls=100) >= 0).mean() < 1.0


def test_codes_keep_their_shares_and_leave_room_for_another() -> None:
    errors = drawn([True, False] * 200, codes=("RATE_LIMIT", "TIMEOUT", "TIMEOUT", "TIMEOUT"))
    failed = errors[errors >= 0]
    assert (failed == 0).mean() == pytest.approx(0.25, abs=0.03)
    assert (failed == 1).mean() == pytest.approx(0.75, abs=0.03)
    assert 0 < (failed == 2).mean() < 0.01


def test_recordings_are_counted_each_in_its_own_order() -> None:
    # One recording ends with an error and the next begins with one: that is no burst.
    fit = fit_errors((recording([False, True]), recording([True, False])))
    assert (fit.errors, fit.stays[0]) == (2, 0)


@pytest.mark.parametrize("calls", [1, 7])
def test_as_many_calls_are_drawn_as_asked(calls: int) -> None:
    assert drawn([False, True], calls=calls).shape == (1_000, calls)


def test_a_first_call_that_fails_follows_no_failure() -> None:
    fit = fit_errors((recording([True, False, False, True]),))
    assert (fit.begins, fit.stays) == ((2, 3), (0, 1))
