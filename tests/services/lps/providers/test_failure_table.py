"""Failures are sorted once for all providers: can the same request succeed later, and when?"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cj_pipeline.contracts.answer import Failure
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.reasons import EXPLANATIONS, Reason
from cj_pipeline.services.lps.providers.apis.failures import http_failure
from cj_pipeline.services.lps.providers.breaker import _counts

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
AGAIN, FINAL = True, False


def failure(status: int, body: Any, headers: dict[str, str] | None = None) -> Failure:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return http_failure(Provider.OPENAI, "gpt-5.1", status, headers or {}, content, now=NOW).failure


def error(message: str = "", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


# (status, body) -> reason, whether it is tried again, whether it counts for the breaker
SORTED: list[tuple[int, Any, Reason, bool, bool]] = [
    # In the shape of one API or another, with the status of a failure.
    (429, error("Rate limit reached", type="tokens", code="rate_limit_exceeded"), Reason.RATE_LIMITED, AGAIN, False),
    (429, error(type="insufficient_quota", code="insufficient_quota"), Reason.NO_CREDIT, FINAL, False),
    (429, error("Your account is not active", code="billing_not_active"), Reason.NO_CREDIT, FINAL, False),
    (402, error("Insufficient credits", code=402), Reason.NO_CREDIT, FINAL, False),
    (400, error("Your credit balance is too low", type="invalid_request_error"), Reason.NO_CREDIT, FINAL, False),
    (429, error("Request too large for gpt-4o", code="rate_limit_exceeded"), Reason.CONTEXT_TOO_LONG, FINAL, False),
    (400, error("ThrottlingException", type="ThrottlingException"), Reason.RATE_LIMITED, AGAIN, False),
    (403, error("quota", status="rateLimitExceeded"), Reason.RATE_LIMITED, AGAIN, False),
    (400, error(code="context_length_exceeded"), Reason.CONTEXT_TOO_LONG, FINAL, False),
    (500, error(type="exceed_context_size_error"), Reason.CONTEXT_TOO_LONG, FINAL, False),
    (400, error("prompt is too long: 9 tokens", type="invalid_request_error"), Reason.CONTEXT_TOO_LONG, FINAL, False),
    (413, "<html>Request Entity Too Large</html>", Reason.CONTEXT_TOO_LONG, FINAL, False),
    (404, error(type="not_found_error", message="model: claude-9"), Reason.MODEL_NOT_FOUND, FINAL, False),
    (404, {"error": 'model "qwen9" not found, try pulling it first'}, Reason.MODEL_NOT_FOUND, FINAL, False),
    (404, {"object": "error", "message": "The model `x` does not exist."}, Reason.MODEL_NOT_FOUND, FINAL, False),
    (404, {"detail": "Not Found"}, Reason.NOT_FOUND, FINAL, False),
    (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}},
     Reason.UNAUTHORIZED, FINAL, False),
    (401, error(code="invalid_api_key", type="invalid_request_error"), Reason.UNAUTHORIZED, FINAL, False),
    (403, error(type="permission_error"), Reason.FORBIDDEN, FINAL, False),
    (400, error(code="content_filter", type=None), Reason.FILTERED, FINAL, False),
    (403, error("Your input was flagged", code=403), Reason.FILTERED, FINAL, False),
    (400, error("Unknown name", status="INVALID_ARGUMENT"), Reason.BAD_REQUEST, FINAL, False),
    (405, "", Reason.BAD_REQUEST, FINAL, False),
    (308, "", Reason.REDIRECTED, FINAL, False),
    (503, error("The model is overloaded.", status="UNAVAILABLE"), Reason.OVERLOADED, AGAIN, True),
    (503, error("Loading model", type="unavailable_error"), Reason.OVERLOADED, AGAIN, True),
    (503, error("Slow down", code="slow_down"), Reason.OVERLOADED, AGAIN, True),
    (529, "", Reason.OVERLOADED, AGAIN, True),
    (501, "", Reason.SERVER_ERROR, FINAL, False),
    (524, "<html>A timeout occurred</html>", Reason.SERVER_ERROR, AGAIN, True),
    (408, "", Reason.TIMEOUT, AGAIN, True),
    # In a reply that calls itself a success.
    (200, {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, Reason.OVERLOADED, AGAIN, True),
    (200, {"type": "error", "error": {"type": "api_error", "message": "Overloaded"}}, Reason.OVERLOADED, AGAIN, True),
    (200, error("slow down", code="429"), Reason.RATE_LIMITED, AGAIN, False),
    (200, error("slow down", code=429), Reason.RATE_LIMITED, AGAIN, False),
    (200, error("Rate limit", code="rate_limit_exceeded"), Reason.RATE_LIMITED, AGAIN, False),
    (200, error("x", type="invalid_request_error"), Reason.BAD_REQUEST, FINAL, False),
    (200, error("x", code="401"), Reason.UNAUTHORIZED, FINAL, False),
    (200, error("x", code="model_not_found"), Reason.MODEL_NOT_FOUND, FINAL, False),
    (200, error("upstream timed out"), Reason.TIMEOUT, AGAIN, True),
    (200, {"error": "Internal Server Error"}, Reason.SERVER_ERROR, AGAIN, True),
    (200, {"error": "overloaded"}, Reason.OVERLOADED, AGAIN, True),
    (200, {"error": "something new"}, Reason.SERVER_ERROR, AGAIN, True),
    (200, {"errors": [{"message": "Too many requests"}]}, Reason.RATE_LIMITED, AGAIN, False),
    (200, [{"error": {"code": 503, "status": "UNAVAILABLE"}}], Reason.SERVER_ERROR, AGAIN, True),
    (200, {"message": "Internal server error"}, Reason.SERVER_ERROR, AGAIN, True),
    (200, {"code": 429, "msg": "slow down"}, Reason.RATE_LIMITED, AGAIN, False),
    (200, {"statusCode": 401, "message": "Access denied"}, Reason.UNAUTHORIZED, FINAL, False),
    (201, error("x", code="503"), Reason.SERVER_ERROR, AGAIN, True),
    (200, {"choices": [{"error": {"code": 502}, "finish_reason": "error"}]}, Reason.SERVER_ERROR, AGAIN, True),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "reason", "again", "counts"), SORTED)
def test_a_failure_is_sorted_by_what_it_says(status: int, body: Any, reason: Reason, again: bool, counts: bool) -> None:
    found = failure(status, body)
    assert (found.details["reason"], found.worth_retrying) == (reason, again)
    assert found.code in EXPLANATIONS[reason].codes
    assert _counts(found) == counts
    assert found.details["http_status"] == status
    assert f"HTTP status {status}" in found.message


@pytest.mark.parametrize(
    ("headers", "again"),
    [
        ({"x-should-retry": "false"}, False),
        ({"x-should-retry": "true"}, True),
        ({"x-should-retry": "?"}, True),
        ({}, True),
    ],
)
def test_a_provider_may_say_itself_that_no_retry_helps(headers: dict[str, str], again: bool) -> None:
    assert failure(429, error(code="rate_limit_exceeded"), headers).worth_retrying == again
    assert failure(409, error(), {"x-should-retry": "true"}).worth_retrying
    assert not failure(401, error(), {"x-should-retry": "true"}).worth_retrying


def reset(at: float) -> dict[str, Any]:
    return {"headers": {"X-RateLimit-Limit": "50", "X-RateLimit-Reset": str(at)}}


IN_AN_HOUR = NOW.timestamp() + 3600


@pytest.mark.parametrize(
    ("body", "headers", "wait_s"),
    [
        (error("free-models-per-day", code=429, metadata=reset(IN_AN_HOUR * 1000)), {}, 3600.0),
        (error("free-models-per-day", code=429, metadata=reset(IN_AN_HOUR)), {}, 3600.0),
        (error("requests per day (RPD)", code="rate_limit_exceeded"), {"x-ratelimit-reset": "7200"}, 7200.0),
        (error("requests per day (RPD)", code="rate_limit_exceeded"), {"retry-after": "432"}, 432.0),
        # Nobody says when: some hours from now, and nothing to wait for.
        (error("free-models-per-day", code=429), {}, None),
        (error("free-models-per-day", code=429, metadata=reset(NOW.timestamp() - 9)), {}, None),
        (error("free-models-per-day", code=429, metadata={"headers": "none"}), {}, None),
        # Google names the delay of the quota of a minute all the same.
        ({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
            {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}, {"retryDelay": "37s"},
        ]}}, {}, None),
    ],
)  # fmt: skip
def test_a_daily_limit_waits_for_its_reset_or_ends(body: Any, headers: dict[str, str], wait_s: float | None) -> None:
    found = failure(429, body, headers)
    assert found.details["reason"] == "daily_limit"
    assert (found.worth_retrying, found.retry_after_s) == (wait_s is not None, wait_s)


def test_a_date_without_the_servers_own_is_counted_from_our_clock() -> None:
    for date in ("Sun, 01 Mar 2026 12:00:30 GMT", "Sun Mar  1 12:00:30 2026", "2026-03-01T13:00:30+01:00"):
        assert failure(503, "", {"retry-after": date}).retry_after_s == 30.0


def test_every_reason_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Reason)
    assert all(one.codes and one.meaning and one.what_next for one in EXPLANATIONS.values())
