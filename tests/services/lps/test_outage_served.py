"""A local server that does all that real ones did to the LPS, on a real loop: every request ends as it should.

Here: sockets, real time in small, both stores. Not here: how long outages may be (test_outage.py, in virtual time).
"""

from __future__ import annotations

from typing import Any

import pytest

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.runs.virtual_time import run_real
from tests.servers import needs
from tests.services.lps.bad_upstream import MOODS, BadUpstream, bad_upstream
from tests.services.lps.lab import body, correlation_id, lab

REQUESTS = 2 * len(MOODS)
# The second ask of these is another call within the attempt; the others that went wrong cost an attempt.
ASKED_AGAIN = {"truncates", "prose", "contradicts", "refuses"}
READ_AT_ONCE = {"well", "talks", "no_usage"}


@pytest.mark.parametrize("backend", ["memory", needs("redis")])
def test_every_request_ends_as_it_should_and_none_is_lost_or_charged_unsent(
    backend: str, request: pytest.FixtureRequest
) -> None:
    settings: dict[str, Any] = {
        "openai_api_key": "k",
        "llm_total_timeout_seconds": 2.0,
        "llm_circuit_breaker_recovery_timeout": 0.2,
        "queue_retry_backoff_seconds": 0.02,
        "llm_max_concurrent_requests": 4,
    }
    if backend == "redis":
        url = request.getfixturevalue("redis_server").url
        settings |= {"queue_backend": "redis", "redis_url": url.removesuffix("/0") + "/7"}

    async def main() -> tuple[BadUpstream, dict[int, LLMComparisonResultV1], dict[int, int]]:
        async with (
            bad_upstream(away_s=1.0, hangs_s=8.0) as upstream,
            lab(openai_base_url=upstream.url, **settings) as the_lab,
        ):
            queue_ids = {}
            for number in range(REQUESTS):
                asked = body(number, prompt=f"Which essay is better, pair {number}.", provider_override="openai")
                asked["llm_config_overrides"]["model_override"] = "gpt-4.1-mini-2025-04-14"
                posted = await the_lab.client.post("/api/v1/comparison", json=asked)
                queue_ids[number] = posted.json()["queue_id"]
            numbers = {correlation_id(number): number for number in range(REQUESTS)}
            results = [await the_lab.next_result() for _ in range(REQUESTS)]
            attempts = {}
            for number, queue_id in queue_ids.items():
                status = (await the_lab.client.get(f"/api/v1/status/{queue_id}")).json()
                attempts[number] = status["attempts"]
            return upstream, {numbers[result.correlation_id]: result for result in results}, attempts

    upstream, results, attempts = run_real(main())
    assert sorted(results) == list(range(REQUESTS))  # one callback each
    assert [number for number, result in results.items() if not result.succeeded] == []
    # Three open the breaker, with those under way; then a probe in .2 s.
    assert upstream.while_away <= 3 + 3 + 5
    failed_while_away = 3 + 3
    for number, result in results.items():
        mood, marks = MOODS[number % len(MOODS)], result.request_metadata
        calls = upstream.calls[number]
        # An attempt is a call that was made, and the second ask of an attempt is none.
        assert attempts[number] <= calls - 1 - (mood in ASKED_AGAIN) + upstream.unread
        if mood in ASKED_AGAIN:
            assert marks["asks"] == 2
            assert result.token_usage.total_tokens == 220
        if mood == "talks":
            assert marks["forgiven"] == ["code_fence", "text_around", "thinking"]
        if mood == "no_usage":
            assert marks["tokens_known"] is False
        assert (mood in READ_AT_ONCE | ASKED_AGAIN) or calls >= 2
    assert sum(attempts.values()) <= failed_while_away + upstream.unread + sum(
        MOODS[number % len(MOODS)] not in READ_AT_ONCE | ASKED_AGAIN for number in range(REQUESTS)
    )
