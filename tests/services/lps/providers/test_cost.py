"""Costs, worked out by hand from the manifest's prices."""

from __future__ import annotations

from typing import Any

import pytest

from cj_pipeline.contracts.answer import ProviderAnswer
from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.cost import Usage, cost_usd
from cj_pipeline.services.lps.providers.manifest import Model, load_manifest
from tests.services.lps.providers.stand import stand


def answer(provider: Provider, usage: dict[str, Any], **overrides: Any) -> ProviderAnswer:
    at = stand(provider)
    at.fake.usage = usage
    return run_virtual(at.ask(**overrides))


def chat_usage(prompt: int, completion: int, **details: int) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    return usage | ({"prompt_tokens_details": details} if details else {})


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        # 1000 x .00025 + 200 x .002, thousandths
        ("gpt-5-mini-2025-08-07", chat_usage(1000, 200), 0.00065),
        # 176 x .00025 + 1024 x .000025 + 300 x .002 = .6696 thousandths, rounded at the sixth decimal
        ("gpt-5-mini-2025-08-07", chat_usage(1200, 300, cached_tokens=1024), 0.00067),
        # 1345 x .00125 + 53 x .01
        ("gpt-5-2025-08-07", chat_usage(1345, 53), 0.002211),
        # 1000 x .002 + 3000 x .0005 + 100 x .008
        ("gpt-4.1-2025-04-14", chat_usage(4000, 100, cached_tokens=3000), 0.0043),
        # 10 x .0025 + 90 x .00125 + 5 x .01
        ("gpt-4o-2024-11-20", chat_usage(100, 5, cached_tokens=90), 0.000188),
    ],
)
def test_what_openai_costs(model: str, usage: dict[str, Any], dollars: float) -> None:
    assert answer(Provider.OPENAI, usage, model_override=model).cost_estimate == dollars


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        # 1000 x .001 + 100 x .005
        ("claude-haiku-4-5-20251001", {"input_tokens": 1000, "output_tokens": 100}, 0.0015),
        # 900 x .001 + 60 x .005 + 2000 x .0001 + 300 x .00125 + 100 x .002
        (
            "claude-haiku-4-5-20251001",
            {
                "input_tokens": 900,
                "output_tokens": 60,
                "cache_read_input_tokens": 2000,
                "cache_creation_input_tokens": 400,
                "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 100},
            },
            0.001975,
        ),
        # 10 x .003 + 20 x .015 + 1000 x .00375: without a split, what is written is written for 5m
        (
            "claude-sonnet-4-5-20250929",
            {
                "input_tokens": 10,
                "output_tokens": 20,
                "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": 1000,
            },
            0.00408,
        ),
    ],
)
def test_what_anthropic_costs(model: str, usage: dict[str, Any], dollars: float) -> None:
    assert answer(Provider.ANTHROPIC, usage, model_override=model).cost_estimate == dollars


def test_what_openrouter_costs() -> None:
    # 1200 x .001 + 100 x .005 + 500 x .0001 + 300 x .00125
    usage = chat_usage(2000, 100, cached_tokens=500, cache_write_tokens=300)
    assert answer(Provider.OPENROUTER, usage).cost_estimate == 0.002125


def test_google_is_free_while_in_preview_and_that_is_known() -> None:
    told = answer(Provider.GOOGLE, {"promptTokenCount": 1000, "candidatesTokenCount": 10})
    assert told.cost_estimate == 0.0
    assert "cost_known" not in told.metadata


def test_a_model_without_a_price_says_that_its_cost_is_unknown() -> None:
    told = answer(Provider.OPENAI, chat_usage(1000, 200), model_override="gpt-5.1")
    assert told.cost_estimate == 0.0
    assert told.metadata["cost_known"] is False


def test_a_reply_without_usage_says_that_its_cost_is_unknown() -> None:
    at = stand(Provider.OPENAI)
    at.fake.then(200, {"choices": [{"message": {"content": at.fake.text()}, "finish_reason": "stop"}]})
    told = run_virtual(at.ask())
    assert told.token_usage == TokenUsage()
    assert told.metadata == {"tokens_known": False, "cost_known": False, "forgiven": ["usage_unknown"]}


def test_tokens_are_those_that_the_api_counts() -> None:
    assert answer(Provider.OPENAI, chat_usage(1200, 300, cached_tokens=1024)).token_usage == TokenUsage(
        prompt_tokens=1200, completion_tokens=300, total_tokens=1500
    )
    usage = {"input_tokens": 9, "output_tokens": 6, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 4}
    told = answer(Provider.ANTHROPIC, usage)
    assert told.token_usage == TokenUsage(prompt_tokens=9, completion_tokens=6, total_tokens=15)
    assert told.metadata == {
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 6,
            "total_tokens": 15,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 4,
        },
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 4,
    }


def test_googles_thoughts_count_as_output() -> None:
    usage = {
        "promptTokenCount": 100,
        "candidatesTokenCount": 10,
        "thoughtsTokenCount": 40,
        "cachedContentTokenCount": 60,
    }
    told = answer(Provider.GOOGLE, usage)
    assert told.token_usage == TokenUsage(prompt_tokens=100, completion_tokens=50, total_tokens=150)
    assert told.metadata["cache_read_input_tokens"] == 60


def test_a_cache_that_the_api_does_not_mention_is_not_mentioned() -> None:
    told = answer(Provider.OPENAI, chat_usage(10, 5))
    assert told.metadata == {"usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}


@pytest.mark.parametrize(
    ("cached_price", "dollars"),
    [(0.1, 0.051), (None, 0.501), (0.0, 0.001)],  # 1 x 1 + 500 x (.1, else 1 as any other, or nothing)
)
def test_cached_tokens_of_unknown_price_cost_as_much_as_others(cached_price: float | None, dollars: float) -> None:
    model = load_manifest().find(Provider.OPENAI, "gpt-5.1")
    priced = Model.model_validate(
        model.model_dump()
        | {
            "cost_per_1k_input_tokens": 1.0,
            "cost_per_1k_output_tokens": 2.0,
            "cost_per_1k_cached_input_tokens": cached_price,
        }
    )
    usage = Usage(reported=TokenUsage(), input_tokens=1, output_tokens=0, cache_read_tokens=500)
    assert cost_usd(priced, usage) == dollars
