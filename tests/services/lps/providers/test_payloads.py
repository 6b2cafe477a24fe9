"""What each API is sent, as its fake received it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_WORDS
from cj_pipeline.contracts.enums import OutputVerbosity, Provider, ReasoningEffort, Winner
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.apis.openrouter import OpenRouterApi
from cj_pipeline.services.lps.providers.manifest import Model, check_overrides, load_manifest
from cj_pipeline.services.lps.providers.model import STRUCTURES, StructuredOutput
from cj_pipeline.services.lps.providers.registry import api_of
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from tests.services.lps.providers.stand import CORRELATION_ID, PROMPT, REAL, ask, queued, stand

ALL_MODELS = load_manifest().models(include_deprecated=True)
SUFFIX = "\n\nPlease respond with a valid JSON object."


@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: model.model_id)
def test_every_model_of_the_manifest_is_asked_in_a_way_its_api_accepts(model: Model) -> None:
    asked = 0
    for effort in (None, *ReasoningEffort):
        for verbosity in (None, *OutputVerbosity):
            overrides: dict[str, Any] = {
                "model_override": model.model_id,
                "reasoning_effort": effort,
                "output_verbosity": verbosity,
                "temperature_override": 1.7,
                "system_prompt_override": "You compare essays.",
            }
            request = queued(model.provider, **overrides)
            if check_overrides(load_manifest(), model.provider, request.overrides):
                continue
            for limit in (None, model.max_tokens):
                answer, _ = ask(model.provider, **overrides, max_tokens_override=limit)
                assert answer.winner is Winner.B
                assert answer.model == model.model_id
                asked += 1
    # At least: efforts None and `none`, verbosity None, two limits.
    assert asked >= 4


@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: model.model_id)
def test_what_a_model_does_not_take_is_left_out_of_a_request_that_nobody_checked(model: Model) -> None:
    answer, _ = ask(model.provider, model_override=model.model_id, reasoning_effort="high", output_verbosity="low")
    assert answer.winner is Winner.B


@pytest.mark.parametrize("provider", REAL)
def test_a_system_prompt_reaches_the_api(provider: Provider) -> None:
    _, body = ask(provider, system_prompt_override="You compare essays.")
    match provider:
        case Provider.OPENAI:
            assert body["messages"][0] == {"role": "system", "content": "You compare essays."}
        case Provider.OPENROUTER:
            assert body["messages"][0]["content"].startswith("You compare essays.\n\nAnswer with one JSON object")
        case Provider.ANTHROPIC:
            assert body["system"][0]["text"] == "You compare essays."
        case _:
            assert body["systemInstruction"] == {"parts": [{"text": "You compare essays."}]}


@pytest.mark.parametrize("provider", REAL)
def test_the_prompt_is_the_one_that_is_hashed(provider: Provider) -> None:
    _, body = ask(provider)
    shown = {
        Provider.OPENAI: lambda: body["messages"][-1]["content"],
        Provider.OPENROUTER: lambda: body["messages"][-1]["content"],
        Provider.ANTHROPIC: lambda: body["messages"][0]["content"][0]["text"],
        Provider.GOOGLE: lambda: body["contents"][0]["parts"][0]["text"],
    }[provider]()
    assert shown == (PROMPT + SUFFIX if provider in (Provider.OPENAI, Provider.OPENROUTER) else PROMPT)


@pytest.mark.parametrize(
    ("provider", "model", "place"),
    [
        (Provider.OPENAI, "gpt-5.1", "max_completion_tokens"),
        (Provider.OPENAI, "gpt-4o-2024-11-20", "max_tokens"),
        (Provider.ANTHROPIC, "claude-sonnet-4-5-20250929", "max_tokens"),
        (Provider.GOOGLE, "gemini-2.5-flash-preview-05-20", "generationConfig.maxOutputTokens"),
        (Provider.OPENROUTER, "anthropic/claude-haiku-4-5-20251001", "max_tokens"),
    ],
)
def test_max_tokens_reaches_the_api(provider: Provider, model: str, place: str) -> None:
    def limit(body: dict[str, Any]) -> Any:
        for key in place.split("."):
            body = body[key]
        return body

    assert limit(ask(provider, model_override=model, max_tokens_override=777)[1]) == 777
    assert limit(ask(provider, model_override=model)[1]) == 4096  # the default setting


def test_the_default_limit_is_cut_to_what_the_model_can_write() -> None:
    at = stand(Provider.GOOGLE, llm_default_max_tokens=20_000)
    run_virtual(at.ask())
    assert at.fake.received[0].body["generationConfig"]["maxOutputTokens"] == 8192


@pytest.mark.parametrize(
    ("provider", "model", "asked", "sent"),
    [
        (Provider.OPENAI, "gpt-5.1", 0.3, None),
        (Provider.OPENAI, "gpt-4.1-2025-04-14", 0.3, 0.3),
        (Provider.OPENAI, "gpt-4.1-2025-04-14", None, 0.7),
        (Provider.OPENAI, "gpt-4.1-2025-04-14", 0.0, 0.0),
        (Provider.ANTHROPIC, "claude-haiku-4-5-20251001", 0.0, 0.0),
        (Provider.ANTHROPIC, "claude-haiku-4-5-20251001", 1.8, 1.0),  # the most that this API takes
        (Provider.OPENROUTER, "anthropic/claude-haiku-4-5-20251001", 0.2, 0.2),
    ],
)
def test_a_temperature_is_sent_where_the_model_takes_one(
    provider: Provider, model: str, asked: float | None, sent: float | None
) -> None:
    _, body = ask(provider, model_override=model, temperature_override=asked)
    assert body.get("temperature") == sent


@pytest.mark.parametrize(
    ("model", "asked", "sent"),
    [
        ("gpt-5.1", "none", "none"),
        ("gpt-5.1", "low", "low"),
        ("gpt-5.1", "high", "high"),
        ("gpt-5.1", None, None),
        ("gpt-5-mini-2025-08-07", "none", "minimal"),  # it knows no `none`; left out, it would reason at medium
        ("gpt-5-mini-2025-08-07", "medium", "medium"),
        ("gpt-4o-2024-11-20", "none", None),
    ],
)
def test_openai_is_sent_effort_as_a_top_level_field(model: str, asked: str | None, sent: str | None) -> None:
    _, body = ask(Provider.OPENAI, model_override=model, reasoning_effort=asked)
    assert body.get("reasoning_effort") == sent
    assert "reasoning" not in body


def test_openai_is_sent_verbosity_as_a_top_level_field() -> None:
    assert ask(Provider.OPENAI, output_verbosity="low")[1]["verbosity"] == "low"
    assert "verbosity" not in ask(Provider.OPENAI)[1]


@pytest.mark.parametrize(
    ("effort", "max_tokens", "budget"),
    [
        ("low", 4096, 2048),
        ("medium", 16000, 8000),
        ("high", 32000, 16000),
        ("high", 4096, 4095),  # always less than the limit
        ("low", 1025, 1024),  # the least that the API takes
        ("low", 1024, None),
        ("none", 4096, None),
        (None, 4096, None),
    ],
)
def test_effort_becomes_a_thinking_budget_of_anthropic(effort: str | None, max_tokens: int, budget: int | None) -> None:
    _, body = ask(Provider.ANTHROPIC, reasoning_effort=effort, max_tokens_override=max_tokens)
    if budget is None:
        assert "thinking" not in body
        assert body["tool_choice"] == {"type": "tool", "name": "comparison_result"}
        assert body["temperature"] == 0.7
        return
    assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert body["tool_choice"] == {"type": "auto"}
    assert "temperature" not in body
    assert "comparison_result" in body["system"][-1]["text"]


@pytest.mark.parametrize(
    ("effort", "max_tokens", "budget"),
    [("none", 4096, 0), ("low", 4096, 1024), ("high", 8192, 8192 - 256), ("low", 200, 0)],
)
def test_effort_becomes_a_thinking_budget_of_google(effort: str, max_tokens: int, budget: int) -> None:
    _, body = ask(Provider.GOOGLE, reasoning_effort=effort, max_tokens_override=max_tokens)
    assert body["generationConfig"]["thinkingConfig"] == {"thinkingBudget": budget}


def test_google_is_left_to_think_as_it_likes_when_nothing_is_asked() -> None:
    assert "thinkingConfig" not in ask(Provider.GOOGLE)[1]["generationConfig"]


def test_effort_reaches_openrouter_without_a_temperature() -> None:
    _, body = ask(Provider.OPENROUTER, reasoning_effort="low", temperature_override=0.2)
    assert body["reasoning"] == {"effort": "low"}
    assert "temperature" not in body


def test_openrouter_reasons_only_where_room_for_a_verdict_is_left() -> None:
    _, body = ask(Provider.OPENROUTER, reasoning_effort="low", max_tokens_override=1024)
    assert "reasoning" not in body
    assert body["temperature"] == 0.7


@pytest.mark.parametrize(
    ("prompt_chars", "max_tokens"),
    # 49,925 = 200,000 - (450,000 + 42 of the suffix + 185 of the format's description) // 3
    [(3000, 64_000), (450_000, 49_925), (600_000, 100)],
)
def test_openrouter_is_asked_for_no_more_than_the_context_holds(prompt_chars: int, max_tokens: int) -> None:
    model = load_manifest().default_model(Provider.OPENROUTER)
    request = queued(Provider.OPENROUTER, prompt="x" * prompt_chars, max_tokens_override=64_000)
    assert OpenRouterApi(ProviderSettings()).payload(request, model)["max_tokens"] == max_tokens


def test_anthropic_is_told_the_correlation_id_and_nothing_else_about_the_request() -> None:
    assert ask(Provider.ANTHROPIC)[1]["metadata"] == {"user_id": str(CORRELATION_ID)}


def test_the_key_of_google_stands_in_a_header_and_not_in_the_url() -> None:
    at = stand(Provider.GOOGLE)
    run_virtual(at.ask())
    (call,) = at.fake.received
    assert call.headers["x-goog-api-key"] == "AIza-test"
    assert "AIza-test" not in call.url


@pytest.mark.parametrize(
    ("provider", "settings", "url"),
    [
        (Provider.OPENAI, {}, "https://api.openai.com/v1/chat/completions"),
        (Provider.OPENAI, {"openai_base_url": "http://gateway/v1/"}, "http://gateway/v1/chat/completions"),
        (Provider.ANTHROPIC, {}, "https://api.anthropic.com/v1/messages"),
        (Provider.ANTHROPIC, {"anthropic_base_url": "http://gateway/v1"}, "http://gateway/v1/messages"),
        (Provider.OPENROUTER, {}, "https://openrouter.ai/api/v1/chat/completions"),
        (Provider.OPENROUTER, {"openrouter_base_url": "http://g/api/v1"}, "http://g/api/v1/chat/completions"),
    ],
)
def test_calls_go_where_the_settings_say(provider: Provider, settings: dict[str, str], url: str) -> None:
    at = stand(provider, **settings)
    run_virtual(at.ask())
    assert at.fake.received[0].url == url


def test_a_request_that_names_no_model_gets_the_one_of_the_settings() -> None:
    at = stand(Provider.OPENAI)
    answer = run_virtual(at.ask(model_override=None))
    assert at.fake.received[0].body["model"] == answer.model == "gpt-5.1"


@pytest.mark.parametrize(
    ("provider", "structure"), [(provider, structure) for provider in REAL for structure in STRUCTURES[provider]]
)
def test_every_way_of_asking_names_one_limit_for_the_justification(
    provider: Provider, structure: StructuredOutput
) -> None:
    """Production's prompt said 50 words and its schema 50 characters."""
    model = load_manifest().default_model(provider)
    request = queued(provider, model_override=model.model_id, prompt="Which is better?")
    sent = json.dumps(api_of(ProviderSettings(), provider).call(request, model, structure).payload)
    assert "maxLength" not in sent
    assert set(re.findall(r"at most (\d+ \w+)", sent)) <= {f"{MAX_JUSTIFICATION_WORDS} words"}
    assert f"at most {MAX_JUSTIFICATION_WORDS} words" in sent
