"""Whether a failed attempt is made again, and after how long: the pure rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.contracts.answer import Failure
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.services.lps.settings import LpsSettings
from cj_pipeline.services.lps.work.retries import retry_delay_s
from tests.services.lps.lab import queued

SETTINGS = LpsSettings(queue_max_retries=3)
LIMITED = Failure(ErrorCode.RATE_LIMIT, "Not now.", retryable=True)


def at_attempt(attempts, number=0):
    return replace(queued(number), attempts=attempts)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_the_code_and_the_provider_must_both_allow_a_retry(code):
    helps = code.value in {"RATE_LIMIT", "EXTERNAL_SERVICE_ERROR", "TIMEOUT", "CONNECTION_ERROR"}
    told = [retry_delay_s(queued(), Failure(code, "No.", retryable=flag), SETTINGS, 0.0) for flag in (True, False)]
    assert [delay is not None for delay in told] == [helps, False]


def test_there_are_as_many_retries_as_the_settings_say():
    assert [retry_delay_s(at_attempt(attempts), LIMITED, SETTINGS, 0.0) is None for attempts in range(5)] == [
        *(False, False, False),
        *(True, True),
    ]


@given(st.integers(0, 200), st.integers(0, 20))
def test_the_backoff_doubles_up_to_its_most_and_is_shortened_by_up_to_half(number, attempts):
    settings = LpsSettings(queue_max_retries=50, queue_retry_backoff_seconds=1.0, queue_retry_backoff_max_seconds=60.0)
    delay = retry_delay_s(at_attempt(attempts, number), LIMITED, settings, 0.0)
    assert delay is not None
    full = min(2.0**attempts, 60.0)
    assert full / 2 < delay <= full


def test_the_jitter_hangs_on_the_request_and_the_attempt_alone():
    delays = {
        (number, attempts): retry_delay_s(
            at_attempt(attempts, number),
            LIMITED,
            LpsSettings(queue_max_retries=9, queue_retry_backoff_seconds=8.0, queue_retry_backoff_max_seconds=8.0),
            0.0,
        )
        for number in range(20)
        for attempts in range(3)
    }
    assert len(set(delays.values())) == 60  # a wave that failed together does not come back together
    # The same in every process: SHA-256, nothing salted.
    assert delays[0, 0] == pytest.approx(6.3912578637268975, abs=1e-12)


def test_very_many_attempts_overflow_nothing():
    settings = LpsSettings(queue_max_retries=10_000)
    delay = retry_delay_s(at_attempt(9_999), LIMITED, settings, 0.0)
    assert delay is not None
    assert 30.0 <= delay <= 60.0


@pytest.mark.parametrize(("retry_after_s", "delay_s"), [(90.0, 90.0), (3600.0, 3600.0), (61.0, 61.0)])
def test_a_longer_retry_after_counts_in_full_whatever_the_most_of_the_backoff(retry_after_s, delay_s):
    assert retry_delay_s(queued(), replace(LIMITED, retry_after_s=retry_after_s), SETTINGS, 0.0) == delay_s


def test_a_shorter_retry_after_does_not_shorten_the_backoff():
    plain = retry_delay_s(queued(), LIMITED, SETTINGS, 0.0)
    assert retry_delay_s(queued(), replace(LIMITED, retry_after_s=0.0), SETTINGS, 0.0) == plain


@pytest.mark.parametrize(("now_s", "again"), [(14_000.0, True), (14_309.0, True), (14_311.0, False), (14_399.0, False)])
def test_a_request_that_does_not_live_until_its_next_attempt_is_over_now(now_s, again):
    # It lives for 14,400 s. Its failure says more than that it expired.
    delay = retry_delay_s(queued(), replace(LIMITED, retry_after_s=90.0), SETTINGS, now_s)
    assert (delay is not None) == again
