from __future__ import annotations

import asyncio
from collections import Counter
from itertools import groupby
from statistics import fmean
from typing import Any

import pytest

from cj_pipeline.contracts.answer import Failure, ProviderError
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import EXPLANATIONS
from cj_pipeline.mock.draws import Draws
from cj_pipeline.mock.failures import BurstChain, drawn_failure
from cj_pipeline.mock.judge import MockJudge
from cj_pipeline.mock.mode.errors import Bursts, Errors
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.mock import MockProvider
from tests.services.lps.lab import correlation_id, in_lab, mode, queued


def failures(count: int = 2000, attempt: int = 0, **errors: Any) -> list[Failure | None]:
    section = Errors.model_validate(errors)
    drawn = [
        drawn_failure(section, Draws(42, str(correlation_id(number)), attempt), in_burst=False)
        for number in range(count)
    ]
    return [None if error is None else error.failure for error in drawn]


def share_failed(**errors: Any) -> float:
    told = failures(**errors)
    return sum(failure is not None for failure in told) / len(told)


def in_bursts(count: int, **bursts: float) -> list[bool]:
    chain = BurstChain(Bursts.model_validate(bursts), seed=42)
    return [chain.next_call() for _ in range(count)]


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_failures_come_at_their_rate(rate):
    # 2000 draws: a standard error of .010 at .25; the draws are fixed, so this cannot flicker.
    assert share_failed(rate=rate) == pytest.approx(rate, abs=0.03)


@pytest.mark.parametrize(
    ("kind", "code", "details", "retryable"),
    [
        ("http", ErrorCode.EXTERNAL_SERVICE_ERROR, {"status_code": 503}, True),
        ("timeout", ErrorCode.TIMEOUT, {"error_type": "timeout", "timeout_ms": 8000}, True),
        ("provider", ErrorCode.EXTERNAL_SERVICE_ERROR, {"error_type": "server_error"}, True),
        ("malformed", ErrorCode.PARSING_ERROR, {"error_type": "invalid_response"}, False),
    ],
)
def test_each_kind_fails_in_its_own_way(kind, code, details, retryable):
    (failure,) = failures(1, rate=1.0, codes=(503,), timeout_ms=8000.0, kinds={"http": 0.0, kind: 1.0})
    assert failure is not None
    assert (failure.code, dict(failure.details), failure.worth_retrying) == (code, details, retryable)


def test_kinds_divide_as_their_weights():
    told = failures(4000, rate=1.0, kinds={"http": 2.0, "timeout": 1.0, "provider": 0.0, "malformed": 5.0})
    counted = Counter(failure.code for failure in told if failure is not None)
    assert counted[ErrorCode.EXTERNAL_SERVICE_ERROR] / 4000 == pytest.approx(2 / 8, abs=0.02)
    assert counted[ErrorCode.TIMEOUT] / 4000 == pytest.approx(1 / 8, abs=0.02)
    assert counted[ErrorCode.PARSING_ERROR] / 4000 == pytest.approx(5 / 8, abs=0.02)
    assert all("status_code" in f.details for f in told if f and f.code is ErrorCode.EXTERNAL_SERVICE_ERROR)


@pytest.mark.parametrize(("status", "retryable"), [(429, True), (500, True), (529, True), (400, False), (401, False)])
def test_an_http_failure_is_worth_a_retry_when_its_status_is(status, retryable):
    (failure,) = failures(1, rate=1.0, codes=(status,))
    assert failure is not None
    assert failure.worth_retrying is retryable


def test_only_429_and_503_say_when_to_come_back():
    told = failures(200, rate=1.0, codes=(429, 500, 503), retry_after_s=2.5)
    waits = {(f.details["status_code"], f.retry_after_s) for f in told if f is not None}
    assert waits == {(429, 2.5), (500, None), (503, 2.5)}


@pytest.mark.parametrize(("retry_success", "share"), [(None, 0.6), (1.0, 0.0), (0.75, 0.25), (0.0, 1.0)])
def test_a_retry_fails_as_often_as_the_mode_says(retry_success, share):
    assert share_failed(rate=0.6, retry_success=retry_success) == pytest.approx(0.6, abs=0.03)
    assert share_failed(rate=0.6, retry_success=retry_success, attempt=1) == pytest.approx(share, abs=0.03)


def test_every_request_recovers_at_once_when_retries_succeed():
    async def attempts(retry_success: float | None) -> float:
        """Attempts per request until it succeeds, at most 4."""
        provider = MockProvider(mode(errors={"rate": 0.6, "retry_success": retry_success}), seed=42)
        used = []
        for number in range(300):
            for attempt in range(4):
                try:
                    await provider.answer(queued(number), attempt)
                    break
                except ProviderError:
                    pass
            used.append(attempt + 1)
        return fmean(used)

    assert run_virtual(attempts(1.0)) == pytest.approx(1.6, abs=0.09)  # .4 x 1 + .6 x 2
    assert run_virtual(attempts(None)) == pytest.approx(2.176, abs=0.2)  # 1 + .6 + .36 + .216


@pytest.mark.parametrize(("rate", "length"), [(0.1, 1.0), (0.2, 5.0), (0.5, 20.0), (0.05, 2.5)])
def test_bursts_take_their_share_of_calls_and_last_as_long_as_they_should(rate, length):
    calls = in_bursts(40_000, rate=rate, length=length)
    lengths = [len(list(run)) for in_burst, run in groupby(calls) if in_burst]
    assert sum(calls) / len(calls) == pytest.approx(rate, rel=0.1)
    assert fmean(lengths) == pytest.approx(length, rel=0.1)


def test_there_are_no_bursts_at_rate_0():
    assert not any(in_bursts(1000, rate=0.0, length=10.0))


def test_the_first_call_is_in_a_burst_as_often_as_any():
    firsts = [BurstChain(Bursts(length=4.0, rate=0.3), seed).next_call() for seed in range(2000)]
    assert sum(firsts) / 2000 == pytest.approx(0.3, abs=0.03)


def test_in_a_burst_every_answer_fails_whoever_asks():
    errors = {"bursts": {"rate": 0.3, "length": 6.0}, "retry_success": 1.0}
    expected = in_bursts(300, rate=0.3, length=6.0)

    async def failed(numbers: list[int]) -> list[bool]:
        provider, told = MockProvider(mode(errors=errors), seed=42), []
        for number in numbers:
            try:
                await provider.answer(queued(number), number % 2)
                told.append(False)
            except ProviderError:
                told.append(True)
        return told

    assert run_virtual(failed(list(range(300)))) == expected
    assert run_virtual(failed(list(range(1000, 1300)))) == expected


def test_answers_that_overlap_meet_bursts_in_the_order_in_which_they_began():
    errors = {"bursts": {"rate": 0.4, "length": 3.0}}
    latency = {"model": "uniform", "low_ms": 0, "high_ms": 5000}

    async def failed() -> list[bool]:
        provider = MockProvider(mode(errors=errors, latency=latency), seed=42)
        told = await asyncio.gather(*(provider.answer(queued(n), 0) for n in range(100)), return_exceptions=True)
        return [isinstance(one, ProviderError) for one in told]

    assert run_virtual(failed()) == in_bursts(100, rate=0.4, length=3.0)


@pytest.mark.parametrize(("kind", "took_s"), [("timeout", 8.0), ("http", 0.1), ("malformed", 0.1)])
def test_a_timeout_takes_its_time_and_other_failures_that_of_an_answer(kind, took_s):
    errors = {"rate": 1.0, "kinds": {"http": 0.0, kind: 1.0}, "timeout_ms": 8000}
    of = mode(errors=errors, latency={"model": "constant", "ms": 100})

    async def ask() -> float:
        with pytest.raises(ProviderError):
            await MockProvider(of, seed=42).answer(queued(), 0)
        return asyncio.get_running_loop().time()

    assert run_virtual(ask()) == pytest.approx(took_s)


def test_a_failure_reaches_the_callback_without_any_of_the_prompt():
    of = mode(errors={"rate": 1.0, "kinds": {"http": 0.0, "malformed": 1.0}})

    async def script(lab: Any) -> Any:
        await lab.post(0, prompt="Plant pots in the hall")
        return await lab.next_result()

    result = in_lab(script, of)
    assert result.error_detail.error_code == "PARSING_ERROR"
    assert "Plant pots" not in result.model_dump_json()


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_can_be_mocked_with_a_reason(code):
    (failure,) = failures(1, rate=1.0, codes_mix=[{"code": code, "reason": "truncated", "share": 1.0}])
    assert (failure.code, dict(failure.details), failure.retryable) == (code, {"reason": "truncated"}, False)


def test_every_code_and_reason_of_real_providers_reaches_a_callback():
    pairs = [(code.value, reason.value) for reason, one in EXPLANATIONS.items() for code in one.codes]
    mix = [{"code": code, "reason": reason, "share": 1.0} for code, reason in pairs]
    calls = 12 * len(pairs)  # one of them is left out by chance once in 4,000 runs of other seeds

    async def script(lab: Any) -> set[tuple[str, str]]:
        for number in range(calls):
            await lab.post(number)
        errors = [(await lab.next_result()).error_detail for _ in range(calls)]
        return {(error.error_code, error.details["reason"]) for error in errors}

    assert in_lab(script, mode(errors={"rate": 1.0, "codes_mix": mix})) == set(pairs)


def test_codes_come_in_their_shares():
    mix = [{"code": "RATE_LIMIT", "share": 3.0}, {"code": "INVALID_RESPONSE", "reason": "refused", "share": 1.0}]
    codes = Counter(failure.code for failure in failures(rate=1.0, codes_mix=mix))
    assert codes["RATE_LIMIT"] / 2000 == pytest.approx(0.75, abs=0.03)
    assert codes["INVALID_RESPONSE"] / 2000 == pytest.approx(0.25, abs=0.03)


def test_a_failed_call_has_its_own_latency_tokens_and_cost():
    cut = {"code": "EXTERNAL_SERVICE_ERROR", "reason": "truncated", "share": 1.0, "latency_ms": 2500.0}
    of = mode(
        errors={"rate": 1.0, "codes_mix": [cut | {"prompt_tokens": 300, "completion_tokens": 128}]},
        cost={"per_prompt_token": 1e-5, "per_completion_token": 2e-5},
    )
    attempt = MockJudge(of, 42).attempt(queued(0), 0)
    assert attempt.latency_ms == 2500
    assert isinstance(attempt.outcome, ProviderError)
    assert dict(attempt.outcome.failure.details) == {
        "reason": "truncated",
        "response_time_ms": 2500,
        "token_usage": {"prompt_tokens": 300, "completion_tokens": 128, "total_tokens": 428},
        "cost_estimate": pytest.approx(300 * 1e-5 + 128 * 2e-5),
    }
