"""Every way in which a call can fail, through the whole provider."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from cj_pipeline.contracts.answer import Failure, ProviderError
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.apis.api import Timeouts
from cj_pipeline.services.lps.providers.apis.failures import http_failure
from cj_pipeline.services.lps.providers.apis.openai import OpenAiApi
from cj_pipeline.services.lps.providers.manifest import load_manifest
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.registry import registered_providers
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from tests.services.lps.providers.stand import MARKER, MODELS, REAL, queued, stand

TRUNCATION = {
    Provider.OPENAI: "length",
    Provider.OPENROUTER: "length",
    Provider.ANTHROPIC: "max_tokens",
    Provider.GOOGLE: "MAX_TOKENS",
}


def failure_after(provider: Provider, status: int, body: Any = None, headers: dict[str, str] | None = None) -> Failure:
    at = stand(provider, llm_bad_verdict_retries=0)
    if body is None:
        at.fake.then_error(status, f"no: {MARKER}", headers)
    else:
        at.fake.then(status, body, headers)
    return run_virtual(at.fails())


@pytest.mark.parametrize("provider", REAL)
@pytest.mark.parametrize(
    ("status", "code", "error_type", "retryable"),
    [
        (400, "EXTERNAL_SERVICE_ERROR", "client_error", False),
        (401, "AUTHENTICATION_ERROR", "authentication", False),
        (402, "EXTERNAL_SERVICE_ERROR", "client_error", False),
        (403, "AUTHENTICATION_ERROR", "authentication", False),
        (404, "EXTERNAL_SERVICE_ERROR", "client_error", False),
        (408, "TIMEOUT", "timeout", True),
        (413, "EXTERNAL_SERVICE_ERROR", "client_error", False),
        (429, "RATE_LIMIT", "rate_limit", True),
        (500, "EXTERNAL_SERVICE_ERROR", "server_error", True),
        (502, "EXTERNAL_SERVICE_ERROR", "server_error", True),
        (503, "EXTERNAL_SERVICE_ERROR", "server_error", True),
        (504, "EXTERNAL_SERVICE_ERROR", "server_error", True),
        (529, "EXTERNAL_SERVICE_ERROR", "overloaded", True),
        (302, "EXTERNAL_SERVICE_ERROR", "unknown", False),
    ],
)
def test_a_status_says_whether_a_retry_can_help(
    provider: Provider, status: int, code: str, error_type: str, retryable: bool
) -> None:
    failure = failure_after(provider, status)
    assert (failure.code.value, failure.retryable, failure.worth_retrying) == (code, retryable, retryable)
    expected = {
        "provider": provider.value,
        "model": MODELS[provider],
        "http_status": status,
        "status_code": status,
        "error_type": error_type,
        "retryable": retryable,
    }
    assert expected.items() <= failure.details.items()
    assert not any(isinstance(value, dict) for value in failure.details.values())


def test_what_the_api_calls_its_error_is_kept() -> None:
    details = failure_after(Provider.ANTHROPIC, 529).details
    assert details["provider_error_type"] == "overloaded_error"
    at = stand(Provider.OPENAI, openai_api_key="wrong")
    details = run_virtual(at.fails()).details
    assert details["provider_error_code"] == "invalid_api_key"
    assert details["provider_error_type"] == "invalid_request_error"
    details = failure_after(Provider.GOOGLE, 503).details
    assert (details["provider_error_code"], details["provider_error_type"]) == ("503", "UNAVAILABLE")


def test_an_overloaded_error_is_one_whatever_its_status() -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    failure = failure_after(Provider.ANTHROPIC, 500, body)
    assert failure.details["error_type"] == "overloaded"
    assert failure.worth_retrying


def test_an_account_without_money_is_not_asked_again() -> None:
    body = {
        "error": {"message": "You exceeded", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}
    }
    failure = failure_after(Provider.OPENAI, 429, body, {"retry-after": "3"})
    assert failure.code is ErrorCode.RATE_LIMIT
    assert not failure.worth_retrying
    assert failure.retry_after_s is None


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "", "[]", '{"error": "down"}', "[" * 50_000])
def test_an_error_page_of_something_in_between_is_understood_by_its_status(body: str) -> None:
    failure = failure_after(Provider.OPENAI, 502, body)
    assert failure.worth_retrying
    assert "provider_error_type" not in failure.details


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        # By the server's own clock: its answer is dated 90 s before it wants to be asked again.
        ({"date": "Fri, 21 Nov 2025 12:00:00 GMT", "retry-after": "Fri, 21 Nov 2025 12:01:30 GMT"}, 90.0),
        ({"date": "Fri, 21 Nov 2025 12:00:00 GMT", "retry-after": "Fri, 21 Nov 2025 11:00:00 GMT"}, 0.0),
        # Without its date, by our own: that was in 2025, and 2100 is further away than anybody waits.
        ({"retry-after": "Fri, 21 Nov 2025 12:01:30 GMT"}, 0.0),
        ({"retry-after": "Mon, 01 Feb 2100 10:00:30 GMT"}, 86_400.0),
        ({"retry-after": "1e9"}, 86_400.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503, 529])
def test_retry_after_is_read_in_seconds_and_as_a_date(
    headers: dict[str, str], seconds: float | None, status: int
) -> None:
    assert failure_after(Provider.ANTHROPIC, status, headers=headers).retry_after_s == seconds


def test_retry_after_of_a_failure_that_no_retry_helps_is_of_no_interest() -> None:
    assert failure_after(Provider.ANTHROPIC, 400, headers={"retry-after": "7"}).retry_after_s is None


def test_google_says_in_the_body_how_long_to_wait() -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}
    body = {"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED", "details": [{"x": 1}, detail]}}
    assert failure_after(Provider.GOOGLE, 429, body).retry_after_s == 37.0


@pytest.mark.parametrize("place", ["top", "choice"])
@pytest.mark.parametrize(("status", "code"), [(429, ErrorCode.RATE_LIMIT), (502, ErrorCode.EXTERNAL_SERVICE_ERROR)])
def test_an_error_inside_a_reply_counts_as_its_status_and_names_the_real_one(
    place: str, status: int, code: ErrorCode
) -> None:
    error = {"code": status, "message": MARKER}
    body = {"error": error} if place == "top" else {"choices": [{"error": error, "finish_reason": "error"}]}
    failure = failure_after(Provider.OPENROUTER, 200, body)
    assert failure.code is code
    assert failure.worth_retrying
    assert (failure.details["http_status"], failure.details["provider_error_code"]) == (200, str(status))
    assert "HTTP status 200 and an error in the body" in failure.message


@pytest.mark.parametrize("provider", REAL)
def test_an_answer_cut_off_at_its_limit_names_the_limit(provider: Provider) -> None:
    at = stand(provider)
    at.fake.stop_reason = TRUNCATION[provider]
    failure = run_virtual(at.fails(max_tokens_override=321))
    assert failure.code is ErrorCode.EXTERNAL_SERVICE_ERROR
    assert not failure.worth_retrying
    assert failure.details["stop_reason"] == TRUNCATION[provider]
    assert failure.details["max_tokens"] == 321
    assert "321 tokens" in failure.message


@pytest.mark.parametrize("provider", [Provider.OPENAI, Provider.GOOGLE, Provider.OPENROUTER])
def test_a_verdict_that_is_not_json_is_a_parsing_error(provider: Provider) -> None:
    at = stand(provider)
    at.fake.verdict = f"I prefer the one about {MARKER}."
    failure = run_virtual(at.fails())
    assert failure.code is ErrorCode.PARSING_ERROR
    assert not failure.worth_retrying


def test_an_anthropic_reply_without_the_tool_is_an_invalid_response() -> None:
    at = stand(Provider.ANTHROPIC)
    at.fake.verdict = f"I prefer the one about {MARKER}."
    at.fake.stop_reason = "end_turn"
    failure = run_virtual(at.fails())
    assert failure.code is ErrorCode.INVALID_RESPONSE
    assert failure.details["error_type"] == "invalid_response"
    assert failure.details["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("provider", "body", "stop_reason"),
    [
        (Provider.OPENAI, {"choices": [{"message": {"content": None, "refusal": MARKER}}]}, "refusal"),
        (
            Provider.OPENAI,
            {"choices": [{"message": {"content": "{"}, "finish_reason": "content_filter"}]},
            "content_filter",
        ),
        (Provider.OPENAI, {"choices": []}, "none"),
        (Provider.OPENAI, {"choices": None}, "none"),
        (Provider.OPENAI, {"choices": [{"message": None, "finish_reason": "stop"}]}, "stop"),
        (Provider.GOOGLE, {"promptFeedback": {"blockReason": "SAFETY"}}, "SAFETY"),
        (Provider.GOOGLE, {"candidates": [{"finishReason": "RECITATION"}]}, "RECITATION"),
        (Provider.ANTHROPIC, {"content": [], "stop_reason": "refusal"}, "refusal"),
        (Provider.ANTHROPIC, {"content": [], "stop_reason": f"because of {MARKER}"}, "none"),
    ],
)
def test_a_reply_without_a_verdict_is_an_invalid_response(provider: Provider, body: Any, stop_reason: str) -> None:
    failure = failure_after(provider, 200, body)
    assert failure.code is ErrorCode.INVALID_RESPONSE
    assert failure.details["stop_reason"] == stop_reason


@pytest.mark.parametrize("provider", REAL)
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "empty_body"),
        ("{}", "empty_body"),
        ("null", "empty_body"),
        (" \n", "empty_body"),
        (f"<!DOCTYPE html><html>{MARKER}</html>", "web_page"),
        ("upstream connect error or disconnect/reset before headers", "not_json"),
        ('{"id": "x", "choi', "not_json"),
    ],
)
def test_a_reply_that_is_not_json_is_no_answer_and_is_tried_again(provider: Provider, body: str, reason: str) -> None:
    failure = failure_after(provider, 200, body)
    assert (failure.code, failure.details["reason"]) == (ErrorCode.EXTERNAL_SERVICE_ERROR, reason)
    assert failure.worth_retrying


@pytest.mark.parametrize(
    ("provider", "body", "field"),
    [
        (Provider.OPENAI, {"choices": MARKER}, "choices"),
        (Provider.OPENAI, {"choices": [{"message": {"content": 3}}]}, "choices.0.message.content"),
        (Provider.OPENAI, {"choices": [{"message": MARKER}]}, "choices.0.message"),
        (Provider.ANTHROPIC, {"content": 3}, "content"),
        (Provider.GOOGLE, {"candidates": {}}, "candidates"),
        (Provider.GOOGLE, 3, "(body)"),
    ],
)
def test_a_misshapen_reply_names_the_field(provider: Provider, body: Any, field: str) -> None:
    failure = failure_after(provider, 200, body)
    assert (failure.code, failure.details["reason"]) == (ErrorCode.INVALID_RESPONSE, "misshapen")
    assert failure.details["field"] == field


def test_a_reply_without_an_end_is_not_read_to_its_end() -> None:
    """Over a real socket, on a real loop: 100 kB at a time, for as long as somebody reads."""
    sent = 0

    async def main() -> Failure:
        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            with suppress(ConnectionError):
                while sent < 10**9:
                    writer.write(b" " * 100_000)
                    sent += 100_000
                    await writer.drain()

        async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            settings = ProviderSettings(openai_api_key="k", openai_base_url=url)
            provider = registered_providers(settings, load_manifest(), ProviderMetrics(CollectorRegistry()))[
                Provider.OPENAI
            ]
            with pytest.raises(ProviderError) as caught:
                await provider.answer(queued(Provider.OPENAI), 0)
            await provider.aclose()
            return caught.value.failure

    failure = asyncio.run(main())
    assert (failure.code, failure.details["reason"]) == (ErrorCode.EXTERNAL_SERVICE_ERROR, "too_long")
    assert not failure.worth_retrying
    assert sent < 40 * 10**6


def test_an_unknown_model_is_a_configuration_error_that_proposes_one() -> None:
    failure = run_virtual(stand(Provider.OPENAI).fails(model_override="gpt-5-mini"))
    assert failure.code is ErrorCode.CONFIGURATION_ERROR
    assert "Did you mean 'gpt-5-mini-2025-08-07'?" in failure.message
    assert failure.details["provider"] == "openai"


@pytest.mark.parametrize("provider", REAL)
def test_a_call_that_takes_longer_than_its_total_is_a_timeout(provider: Provider) -> None:
    totals = {Provider.OPENAI: 30, Provider.ANTHROPIC: 45, Provider.GOOGLE: 40, Provider.OPENROUTER: 50}

    async def main() -> tuple[Failure, float]:
        at = stand(provider)
        at.fake.delay_s = 3600
        return await at.fails(), asyncio.get_running_loop().time()

    failure, took_s = run_virtual(main())
    assert failure.code is ErrorCode.TIMEOUT
    assert failure.worth_retrying
    assert failure.details["exception"] == "TimeoutError"
    assert took_s == pytest.approx(totals[provider])


def test_a_slow_answer_carries_the_time_of_its_call_alone() -> None:
    async def main() -> int:
        at = stand(Provider.OPENAI)
        await asyncio.sleep(100)
        at.fake.delay_s = 1.234
        return (await at.ask()).response_time_ms

    assert run_virtual(main()) == 1234


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (httpx.ConnectTimeout, ErrorCode.TIMEOUT, True),
        (httpx.ReadTimeout, ErrorCode.TIMEOUT, True),
        (httpx.WriteTimeout, ErrorCode.TIMEOUT, True),
        (httpx.PoolTimeout, ErrorCode.TIMEOUT, True),
        (httpx.ConnectError, ErrorCode.CONNECTION_ERROR, True),
        (httpx.ReadError, ErrorCode.CONNECTION_ERROR, True),
        (httpx.RemoteProtocolError, ErrorCode.CONNECTION_ERROR, True),
        (httpx.ProxyError, ErrorCode.CONNECTION_ERROR, True),
        (httpx.DecodingError, ErrorCode.EXTERNAL_SERVICE_ERROR, False),
    ],
)
def test_a_failure_of_the_connection_is_classified(
    error: type[httpx.RequestError], code: ErrorCode, retryable: bool
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error(f"while sending {MARKER}", request=request)

    async def main() -> Failure:
        providers = registered_providers(
            ProviderSettings(openai_api_key="k", circuit_breaker_enabled=False),
            load_manifest(),
            ProviderMetrics(CollectorRegistry()),
            transport=httpx.MockTransport(fail),
        )
        with pytest.raises(ProviderError) as caught:
            await providers[Provider.OPENAI].answer(queued(Provider.OPENAI), 0)
        return caught.value.failure

    failure = run_virtual(main())
    assert (failure.code, failure.worth_retrying) == (code, retryable)
    assert failure.details["exception"] == error.__name__
    assert "http_status" not in failure.details
    assert MARKER not in failure.message


def test_a_server_that_falls_silent_is_a_timeout_of_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a real socket, on a real loop: the limit for silence is shorter than the one for the whole call."""
    monkeypatch.setattr(OpenAiApi, "timeouts", Timeouts(total_s=30, connect_s=5, read_s=0.05))

    async def main() -> Failure:
        never = asyncio.Event()

        async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await never.wait()
            writer.close()

        async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            settings = ProviderSettings(openai_api_key="k", openai_base_url=f"http://127.0.0.1:{port}/v1")
            provider = registered_providers(settings, load_manifest(), ProviderMetrics(CollectorRegistry()))[
                Provider.OPENAI
            ]
            with pytest.raises(ProviderError) as caught:
                await provider.answer(queued(Provider.OPENAI), 0)
            await provider.aclose()
            never.set()
        return caught.value.failure

    failure = asyncio.run(main())
    assert failure.code is ErrorCode.TIMEOUT
    assert failure.details["exception"] == "ReadTimeout"


@pytest.mark.parametrize("provider", REAL)
@pytest.mark.parametrize(
    "scenario", ["refused", "server_error", "not_json", "odd_winner", "prose", "cut_off", "misshapen", "bad_ttl"]
)
def test_nothing_of_the_prompt_gets_into_failures_or_logs(
    provider: Provider, scenario: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    at = stand(provider, llm_bad_verdict_retries=0)
    asked: dict[str, Any] = {}
    match scenario:
        case "refused":
            asked = {"max_tokens_override": 10**6}  # the fake's refusal quotes the whole payload
        case "server_error":
            at.fake.then_error(500, MARKER, {"retry-after": MARKER})
        case "not_json":
            at.fake.then(200, MARKER)
        case "odd_winner":
            at.fake.verdict = {"winner": MARKER, "justification": MARKER, "confidence": MARKER}
        case "prose":
            at.fake.verdict = MARKER
        case "cut_off":
            at.fake.verdict, at.fake.stop_reason = MARKER, TRUNCATION[provider]
        case "misshapen":
            at.fake.then(200, {"choices": MARKER, "content": MARKER, "candidates": MARKER})
        case "bad_ttl":
            block = {"content": MARKER, "cacheable": True, "ttl": MARKER}
            asked = {"blocks": [block]}
            if provider is not Provider.ANTHROPIC:
                asked["max_tokens_override"] = 10**6  # the others know no blocks
    failure = run_virtual(at.fails(**asked))
    assert MARKER not in failure.message + repr(dict(failure.details))
    assert caplog.records
    for record in caplog.records:
        assert MARKER not in record.getMessage() + repr(record.__dict__)


def test_an_error_kind_that_could_be_prose_is_left_out() -> None:
    body = b'{"error": {"type": "because of the essay", "code": "x y"}}'
    details = http_failure(Provider.OPENAI, "gpt-5.1", 500, {}, body).failure.details
    assert "provider_error_type" not in details
    assert "provider_error_code" not in details


def test_failures_are_counted_by_kind_and_by_status() -> None:
    at = stand(Provider.ANTHROPIC)
    at.fake.then_error(429, "slow down")
    run_virtual(at.fails())
    model = MODELS[Provider.ANTHROPIC]
    assert at.count("errors_total", provider="anthropic", model=model, error_type="rate_limit") == 1
    labels = {"provider": "anthropic", "error_type": "rate_limit", "http_status_code": "429"}
    assert at.count("api_errors_total", **labels) == 1


def test_the_log_names_ids(caplog: pytest.LogCaptureFixture) -> None:
    at = stand(Provider.OPENAI)
    at.fake.then_error(503, "down")
    run_virtual(at.fails())
    (record,) = [record for record in caplog.records if record.name.startswith("cj_pipeline")]
    request = queued(Provider.OPENAI)
    assert record.__dict__["correlation_id"] == str(request.correlation_id)
    assert record.__dict__["queue_id"] == str(request.queue_id)
    assert record.getMessage() == "openai gave no answer: server_error"
