"""The one retry policy: what is tried again, after how long, on a loop of virtual time too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import cj_pipeline
from cj_pipeline.foundation import retrying
from cj_pipeline.foundation.retrying import RETRYABLE_STATUSES, Waits, backoff_s, retry
from cj_pipeline.runs.virtual_time import run_virtual

WAITS = Waits(first_s=1.0, most_s=5.0)


class Failing:
    """Fails so many times, and keeps the times at which it was asked."""

    def __init__(self, times: int, error: Callable[[], BaseException] = ValueError) -> None:
        self.asked_at: list[float] = []
        self._times = times
        self._error = error

    async def __call__(self) -> str:
        self.asked_at.append(asyncio.get_running_loop().time())
        if len(self.asked_at) <= self._times:
            raise self._error()
        return "done"


def passing(error: Exception) -> float | None:
    return 0.0 if isinstance(error, ValueError) else None


def test_the_wait_doubles_up_to_the_most() -> None:
    assert [backoff_s(failures, WAITS) for failures in (1, 2, 3, 4, 5, 10_000)] == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_an_action_is_tried_until_it_works_on_the_loops_own_time() -> None:
    action = Failing(5)
    assert run_virtual(retry(action, on=passing, waits=WAITS)) == "done"
    assert action.asked_at == [0.0, 1.0, 3.0, 7.0, 12.0, 17.0]


def test_a_longer_wait_that_was_asked_for_counts_and_a_shorter_one_does_not() -> None:
    action = Failing(2)
    run_virtual(retry(action, on=lambda _: 1.5, waits=WAITS))
    assert action.asked_at == [0.0, 1.5, 3.5]


def test_the_last_error_is_raised_when_the_attempts_are_used_up() -> None:
    action = Failing(5)
    with pytest.raises(ValueError):  # noqa: PT011
        run_virtual(retry(action, on=passing, waits=WAITS, attempts=3))
    assert action.asked_at == [0.0, 1.0, 3.0]


def test_an_error_that_no_attempt_helps_is_raised_at_once() -> None:
    action = Failing(1, KeyError)
    with pytest.raises(KeyError):
        run_virtual(retry(action, on=passing, waits=WAITS))
    assert len(action.asked_at) == 1


def test_a_cancellation_is_never_tried_again() -> None:
    action = Failing(1, asyncio.CancelledError)
    with pytest.raises(asyncio.CancelledError):
        run_virtual(retry(action, on=lambda _: 0.0, waits=WAITS))
    assert len(action.asked_at) == 1


def test_retries_write_no_log_and_count_in_no_global_registry(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        run_virtual(retry(Failing(3), on=passing, waits=WAITS))
    assert [record for record in caplog.records if record.name.startswith("stamina")] == []
    assert "stamina" not in "".join(metric.name for metric in REGISTRY.collect())


def test_too_many_requests_and_an_overload_are_worth_a_retry_and_a_refusal_is_not() -> None:
    assert {408, 429, 500, 502, 503, 504, 529} <= RETRYABLE_STATUSES
    assert not RETRYABLE_STATUSES & {200, 202, 400, 401, 403, 404, 409, 413, 422, 501, 505}


def test_nothing_else_in_the_repository_doubles_a_wait_or_lists_statuses() -> None:
    here = Path(retrying.__file__)
    for path in Path(cj_pipeline.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path != here:
            assert "502, 503" not in text, path
            assert "2 * backoff" not in text, path
            assert "import stamina" not in text, path
