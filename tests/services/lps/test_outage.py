"""What an outage of a provider costs: no request, and no attempt that was not made.

Here: the whole service before a provider that is away, hangs, or fails on one request. Not here: the breaker alone
(providers/test_breaker.py), the stores (test_queue_lives.py).
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.services.lps.lab import Lab, body, correlation_id, in_lab

PROCESSING = ["per_request", "serial_bundle", "batch_api"]
GOOD = {
    "choices": [
        {
            "message": {"content": '{"winner": "Essay A", "justification": "Clear.", "confidence": 4}'},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}


class Upstream:
    """An OpenAI that fails as told. fail: a status by (number of the request, seconds since the first call), or None.

    Every call takes a second, or `hangs_s` where it fails and hangs.
    """

    def __init__(self, fail: Callable[[int, float], int | None], *, hangs_s: float = 1.0) -> None:
        self.fail = fail
        self.hangs_s = hangs_s
        self.calls: list[tuple[int, float]] = []
        self.began_at: float | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        now = asyncio.get_running_loop().time()
        self.began_at = now if self.began_at is None else self.began_at
        at = now - self.began_at
        number = int(json.loads(request.content)["messages"][-1]["content"].split()[5].rstrip("."))
        self.calls.append((number, at))
        status = self.fail(number, at)
        await asyncio.sleep(self.hangs_s if status else 1.0)
        return httpx.Response(status, json={}) if status else httpx.Response(200, json=GOOD)

    def settings(self, **settings: object) -> dict[str, object]:
        return {
            "transport": httpx.MockTransport(self),
            "openai_api_key": "k",
            "llm_circuit_breaker_recovery_timeout": 3.0,
            **settings,
        }


def asked(number: int) -> dict[str, Any]:
    prompt = f"Which essay is better, pair {number}."
    return body(number, prompt=prompt, provider_override="openai", model_override="gpt-5.1")


async def post(lab: Lab, number: int) -> str:
    response = await lab.client.post("/api/v1/comparison", json=asked(number))
    assert response.status_code == 202, response.text
    return str(response.json()["queue_id"])


async def ends(lab: Lab, requests: int) -> Counter[str]:
    results = [await lab.next_result() for _ in range(requests)]
    assert {result.correlation_id for result in results} == {correlation_id(number) for number in range(requests)}
    assert await lab.no_more_callbacks()
    return Counter("answered" if one.error_detail is None else one.error_detail.error_code for one in results)


def run(upstream: Upstream, requests: int = 30, **settings: object) -> Counter[str]:
    async def script(lab: Lab) -> Counter[str]:
        for number in range(requests):
            await post(lab, number)
        return await ends(lab, requests)

    return in_lab(script, **upstream.settings(**settings))


@pytest.mark.parametrize("processing", PROCESSING)
@pytest.mark.parametrize("at_once", [1, 8])
@pytest.mark.parametrize(("outage_s", "recovery_s"), [(10.0, 3.0), (360.0, 30.0), (3000.0, 120.0)])
def test_an_outage_costs_no_request_however_long_it_is(
    processing: str, at_once: int, outage_s: float, recovery_s: float
) -> None:
    upstream = Upstream(lambda _, at: 503 if at < outage_s else None)
    found = run(
        upstream,
        queue_processing_mode=processing,
        llm_max_concurrent_requests=at_once,
        llm_circuit_breaker_recovery_timeout=recovery_s,
    )
    assert found == {"answered": 30}
    during = sum(at < outage_s for _, at in upstream.calls)
    # Those under way when the breaker opens; then one probe at a time, a recovery apart and a second long.
    assert during <= 3 + at_once + outage_s / (recovery_s + 1) + 1
    assert len(upstream.calls) == 30 + during


def test_a_provider_that_hangs_costs_no_request() -> None:
    # 60 s a call, of the 30 s that one may take: four time-outs, then it is well.
    upstream = Upstream(lambda _, at: 200 if at < 60.0 else None, hangs_s=60.0)
    assert run(upstream) == {"answered": 30}
    assert sum(at < 60.0 for _, at in upstream.calls) == 2


def test_a_lone_request_outlives_an_outage() -> None:
    upstream = Upstream(lambda _, at: 503 if at < 1800.0 else None)
    assert run(upstream, 1, llm_circuit_breaker_recovery_timeout=60.0) == {"answered": 1}


def test_a_request_that_the_provider_always_fails_on_blocks_nobody_and_ends() -> None:
    # 503 for this one alone, and first in line, so that it would be every probe.
    upstream = Upstream(lambda number, _: 503 if number == 0 else None)
    found = run(upstream, llm_circuit_breaker_failure_threshold=1)
    assert found == {"answered": 29, "EXTERNAL_SERVICE_ERROR": 1}
    assert Counter(number for number, _ in upstream.calls)[0] <= 8


def test_only_the_time_to_live_ends_a_request_during_an_outage() -> None:
    async def script(lab: Lab) -> list[tuple[str, str, float]]:
        for number in range(3):
            await post(lab, number)
        results = [await lab.next_result() for _ in range(3)]
        return [
            (
                r.error_detail.error_code,
                r.error_detail.details["reason"],
                (r.completed_at - r.requested_at).total_seconds(),
            )
            for r in results
            if r.error_detail is not None
        ]

    upstream = Upstream(lambda *_: 503)
    found = in_lab(script, **upstream.settings(queue_request_ttl_hours=0.1))
    assert found == [("TIMEOUT", "expired", pytest.approx(360.0, abs=5.0))] * 3


def test_an_outage_of_one_provider_holds_nobody_elses_requests() -> None:
    async def script(lab: Lab) -> list[str]:
        for number in range(3):
            await post(lab, number)
        await asyncio.sleep(10.0)
        await lab.post(3)
        await lab.post(4)
        return [(await lab.next_result()).provider.value for _ in range(2)]

    upstream = Upstream(lambda *_: 503)
    settings = upstream.settings(llm_circuit_breaker_recovery_timeout=120.0)
    assert in_lab(script, **settings) == ["mock", "mock"]


def test_a_held_request_says_queued_and_has_only_the_attempts_that_were_made() -> None:
    async def script(lab: Lab) -> list[tuple[str, int]]:
        queue_ids = [await post(lab, number) for number in range(5)]
        await asyncio.sleep(60.0)
        shown = [(await lab.client.get(f"/api/v1/status/{queue_id}")).json() for queue_id in queue_ids]
        return [(one["status"], one["attempts"]) for one in shown]

    upstream = Upstream(lambda *_: 503)
    shown = in_lab(script, **upstream.settings(llm_circuit_breaker_recovery_timeout=120.0))
    assert [status for status, _ in shown] == ["queued"] * 5
    assert sum(attempts for _, attempts in shown) == len(upstream.calls) == 3
