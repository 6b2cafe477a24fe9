"""The fakes are as strict as they say: otherwise tests of payloads would prove nothing."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import httpx
import pytest

from cj_pipeline.contracts.enums import Provider
from tests.services.lps.providers.fake_api import KEYS
from tests.services.lps.providers.fakes import FAKES
from tests.services.lps.providers.stand import MODELS, ask

URLS = {
    Provider.OPENAI: "/v1/chat/completions",
    Provider.ANTHROPIC: "/v1/messages",
    Provider.GOOGLE: f"/v1beta/models/{MODELS[Provider.GOOGLE]}:generateContent",
    Provider.OPENROUTER: "/api/v1/chat/completions",
}
HEADERS = {
    Provider.OPENAI: {"Authorization": f"Bearer {KEYS[Provider.OPENAI]}"},
    Provider.ANTHROPIC: {"x-api-key": KEYS[Provider.ANTHROPIC], "anthropic-version": "2023-06-01"},
    Provider.GOOGLE: {"x-goog-api-key": KEYS[Provider.GOOGLE]},
    Provider.OPENROUTER: {"Authorization": f"Bearer {KEYS[Provider.OPENROUTER]}"},
}
THINKING = {"type": "enabled", "budget_tokens": 2048}
MARK_5M = {"type": "ephemeral", "ttl": "5m"}
MARK_1H = {"type": "ephemeral", "ttl": "1h"}


def post(provider: Provider, body: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = FAKES[provider]().transport()
        async with httpx.AsyncClient(transport=transport, base_url="http://fake") as client:
            return await client.post(URLS[provider], json=body, headers=headers or HEADERS[provider])

    return asyncio.run(send())


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    body = copy.deepcopy(body)
    at: Any = body
    *above, last = path.split(".")
    for key in above:
        at = at[int(key)] if key.isdigit() else at[key]
    at[last] = value
    return body


@pytest.mark.parametrize("provider", URLS)
def test_a_payload_as_it_stands_is_accepted(provider: Provider) -> None:
    assert post(provider, ask(provider)[1]).status_code == 200


@pytest.mark.parametrize(
    ("provider", "path", "value"),
    [
        (Provider.OPENAI, "reasoning", {"effort": "low"}),
        (Provider.OPENAI, "text", {"verbosity": "low"}),
        (Provider.OPENAI, "temperature", 0.7),
        (Provider.OPENAI, "max_tokens", 100),
        (Provider.OPENAI, "max_completion_tokens", 16385),
        (Provider.OPENAI, "max_completion_tokens", "100"),
        (Provider.OPENAI, "reasoning_effort", "none"),
        (Provider.OPENAI, "response_format.json_schema.strict", False),
        (Provider.OPENAI, "response_format.json_schema.schema.properties.justification.maxLength", 50),
        (Provider.OPENAI, "response_format.json_schema.schema.required", ["winner"]),
        (Provider.ANTHROPIC, "response_format", {"type": "json_object"}),
        (Provider.ANTHROPIC, "temperature", 1.5),
        (Provider.ANTHROPIC, "max_tokens", 64001),
        (Provider.ANTHROPIC, "thinking", THINKING),  # with a forced tool and a temperature
        (Provider.ANTHROPIC, "metadata.prompt_sha256", "00"),
        (Provider.ANTHROPIC, "tools.0.strict", True),
        (Provider.ANTHROPIC, "messages.0.content", [{"type": "text", "text": ""}]),
        (Provider.ANTHROPIC, "messages.0.content", [{"type": "text", "text": "x", "cache_control": MARK_1H}]),
        (Provider.ANTHROPIC, "system", [{"type": "text", "text": "x", "cache_control": MARK_5M}] * 4),
        (Provider.GOOGLE, "generationConfig.responseSchema.additionalProperties", False),
        (Provider.GOOGLE, "generationConfig.maxOutputTokens", 8193),
        (Provider.GOOGLE, "generationConfig.thinkingConfig", {"thinkingBudget": 24577}),
        (Provider.GOOGLE, "model", "gemini"),
        (Provider.OPENROUTER, "reasoning", {"effort": "low"}),  # with a temperature
        (Provider.OPENROUTER, "response_format", {"type": "json_schema"}),
        (Provider.OPENROUTER, "max_tokens", 0),
    ],
)
def test_what_the_real_api_refuses_is_refused(provider: Provider, path: str, value: Any) -> None:
    refused = post(provider, changed(ask(provider)[1], path, value))
    assert refused.status_code == 400
    assert "error" in refused.json()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"temperature": 0.7}, "temperature"),
        ({"tool_choice": {"type": "tool", "name": "comparison_result"}}, "tool_choice"),
        ({"thinking": THINKING | {"budget_tokens": 1023}}, "at least 1024"),
        ({"thinking": THINKING | {"budget_tokens": 4096}}, "greater than budget_tokens"),
    ],
)
def test_each_rule_of_thinking_is_held_by_itself(change: dict[str, Any], complaint: str) -> None:
    payload = ask(Provider.ANTHROPIC, reasoning_effort="low")[1]
    assert complaint in post(Provider.ANTHROPIC, payload | change).json()["error"]["message"].partition(" (in: ")[0]


@pytest.mark.parametrize("provider", URLS)
def test_a_call_without_its_key_is_refused(provider: Provider) -> None:
    status = post(provider, ask(provider)[1], {"X-Nothing": "1"}).status_code
    assert status == (403 if provider is Provider.GOOGLE else 401)


def test_anthropic_wants_its_version_header() -> None:
    key = {"x-api-key": KEYS[Provider.ANTHROPIC]}
    assert post(Provider.ANTHROPIC, ask(Provider.ANTHROPIC)[1], key).status_code == 400


@pytest.mark.parametrize("provider", URLS)
def test_its_refusals_quote_the_prompt_as_real_ones_may(provider: Provider) -> None:
    refused = post(provider, ask(provider, prompt="Zwetschgendatschi")[1] | {"nonsense": 1})
    assert "Zwetschgendatschi" in refused.text
