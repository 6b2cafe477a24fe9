from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from cj_pipeline.contracts.answer import Failure, ProviderAnswer
from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.breaker import CircuitState
from cj_pipeline.services.lps.providers.manifest import Manifest
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from tests.services.lps.providers.stand import queued, stand

# From production: name without prefix -> its labels.
SERIES = {
    "errors": {"provider", "model", "error_type"},
    "api_errors": {"provider", "error_type", "http_status_code"},
    "prompt_blocks": {"provider", "model", "target", "cacheable", "ttl"},
    "prompt_tokens_histogram": {"provider", "model", "section"},
    "cache_scope": {"provider", "model", "scope", "result"},
    "prompt_cache_events": {"provider", "model", "result"},
    "prompt_cache_tokens": {"provider", "model", "direction"},
    "prompt_ttl_violations": {"provider", "model", "stage"},
    "tokens_used": {"provider", "model", "token_type"},
    "cost_dollars": {"provider", "model"},
    "validation_duration_seconds": {"provider", "validation_type"},
    "circuit_breaker_state": {"service", "circuit_name"},
    "circuit_breaker_state_changes": {"service", "circuit_name", "from_state", "to_state"},
    "circuit_breaker_calls": {"service", "circuit_name", "result"},
    "connection_pool_size": {"provider"},
    "connection_pool_active": {"provider"},
}
# What production cannot tell.
OURS = {
    "failure_reasons": {"provider", "error_code", "reason"},
    "verdict_retries": {"provider", "reason"},
    "verdict_forgiven": {"provider", "model", "forgiven"},
}
BUCKETS = {
    "prompt_tokens_histogram": [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192],
    "validation_duration_seconds": [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
}


class Counted:
    """A fresh registry and what is in it."""

    def __init__(self, manifest: Manifest | None = None) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ProviderMetrics(self.registry, manifest)

    def value(self, name: str, **labels: str) -> float | None:
        """Of requests without a model: counted as `default`, or under the name that the answer has."""
        found = [
            self.registry.get_sample_value(f"llm_provider_{name}", {"provider": "mock", "model": model, **labels})
            for model in ("default", "mock-model-v1")
        ]
        known = [value for value in found if value is not None]
        return sum(known) if known else None


def an_answer(cost: float = 0.0, **metadata: Any) -> ProviderAnswer:
    usage = TokenUsage(prompt_tokens=100, completion_tokens=20, total_tokens=120)
    return ProviderAnswer(Winner.A, "Better.", 4.0, "mock-model-v1", 5, usage, cost, metadata)


def test_names_labels_and_buckets_are_productions() -> None:
    counted = Counted()
    metrics = counted.metrics
    metrics.dispatched(Provider.MOCK, None, queued(Provider.MOCK).request)
    metrics.answered(Provider.MOCK, None, queued(Provider.MOCK).request, an_answer(forgiven=["nested"]))
    metrics.unanswered(Provider.MOCK, None, Failure(ErrorCode.TIMEOUT, "Late."))
    metrics.asked_again(Provider.OPENAI, "tie")
    metrics.failed(Provider.OPENAI, "gpt-5.1", "rate_limit", 429)
    metrics.cached(Provider.ANTHROPIC, "gpt-5.1", 1, 1)
    metrics.ttl_violation(Provider.ANTHROPIC, "gpt-5.1", "user_blocks")
    metrics.validated(Provider.OPENAI, 0.002)
    metrics.pool(Provider.OPENAI, size=1, active=1)
    metrics.circuit_state("llm_openai", CircuitState.CLOSED)
    metrics.circuit_changed("llm_openai", CircuitState.CLOSED, CircuitState.OPEN)
    metrics.circuit_called("llm_openai", "success")
    families = {family.name.removeprefix("llm_provider_"): family for family in counted.registry.collect()}
    assert families.keys() == SERIES.keys() | OURS.keys()
    for name, family in families.items():
        assert {frozenset(sample.labels) - {"le"} for sample in family.samples} == {frozenset((SERIES | OURS)[name])}
    for name, bounds in BUCKETS.items():
        told = {float(sample.labels["le"]) for sample in families[name].samples if "le" in sample.labels}
        assert told == {*bounds, float("inf")}


def test_a_prompt_without_blocks_counts_as_a_legacy_one() -> None:
    counted = Counted()
    counted.metrics.dispatched(Provider.MOCK, None, queued(Provider.MOCK, prompt="one two\nthree").request)
    labels = {"target": "legacy_user_prompt", "cacheable": "false", "ttl": "none"}
    assert counted.value("prompt_blocks_total", **labels) == 1
    assert counted.value("prompt_tokens_histogram_sum", section="legacy") == 3
    assert counted.value("prompt_tokens_histogram_count", section="legacy") == 1


def test_blocks_are_counted_by_what_they_are() -> None:
    counted = Counted()
    blocks: list[dict[str, Any]] = [
        {"target": "system", "content": "a b c", "cacheable": True, "ttl": 3600},
        {"target": "user_content", "content": "d e", "cacheable": True},
        {"target": "made up by a client", "content": "f", "cacheable": False, "ttl": "1h"},
        {"content": "g", "cacheable": True, "ttl": "made up too"},
    ]
    counted.metrics.dispatched(Provider.MOCK, None, queued(Provider.MOCK, blocks=blocks).request)
    for target, cacheable, ttl in [
        ("system", "true", "1h"),
        ("user_content", "true", "5m"),
        ("user_content", "false", "none"),
        ("user_content", "true", "invalid"),
    ]:
        assert counted.value("prompt_blocks_total", target=target, cacheable=cacheable, ttl=ttl) == 1
    assert counted.value("prompt_tokens_histogram_sum", section="static") == 6
    assert counted.value("prompt_tokens_histogram_sum", section="dynamic") == 1
    assert counted.value("prompt_tokens_histogram_sum", section="legacy") is None


def test_tokens_and_dollars_add_up() -> None:
    counted = Counted()
    for _ in range(3):
        counted.metrics.answered(Provider.MOCK, None, queued(Provider.MOCK).request, an_answer(0.25))
    assert [counted.value("tokens_used_total", token_type=kind) for kind in ("prompt", "completion")] == [
        300,
        60,
    ]
    assert counted.value("cost_dollars_total") == 0.75


@pytest.mark.parametrize(
    ("metadata", "scope"),
    [
        ({"bos_batch_id": "b"}, "assignment"),
        ({"cj_batch_id": "7"}, "assignment"),
        ({"assignment_id": "x"}, "assignment"),
        ({"bos_batch_id": None}, "adhoc"),
        ({"essay_a_id": "1"}, "adhoc"),
        ({}, "unknown"),
    ],
)
@pytest.mark.parametrize(
    ("cache", "result"),
    [
        ({}, "bypass"),
        ({"cache_read_input_tokens": 5, "cache_creation_input_tokens": 5}, "hit"),
        ({"cache_read_input_tokens": 0, "cache_creation_input_tokens": 5}, "miss"),
        ({"cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}, "bypass"),
    ],
)
def test_answers_are_counted_by_who_shares_their_cache(
    metadata: dict[str, Any], scope: str, cache: dict[str, int], result: str
) -> None:
    counted = Counted()
    request = queued(Provider.MOCK, metadata=metadata).request
    counted.metrics.answered(Provider.MOCK, None, request, an_answer(**cache))
    assert counted.value("cache_scope_total", scope=scope, result=result) == 1


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("gpt-5.1", "gpt-5.1"),
        ("mock-model-v1", "mock-model-v1"),
        ("made-up-by-a-client", "other"),
        ("other", "other"),
        ("default", "default"),
        (None, "default"),
    ],
)
def test_model_labels_are_bounded(model: str | None, label: str) -> None:
    assert Counted().metrics.model_label(model) == label


def test_a_teams_own_models_are_told_apart() -> None:
    assert Counted(Manifest([], {})).metrics.model_label("gpt-5.1") == "other"


def test_the_pool_shows_calls_under_way() -> None:
    async def main() -> list[float | None]:
        at = stand(Provider.OPENAI)
        at.fake.delay_s = 1
        shown = [at.count("connection_pool_active", provider="openai")]
        calls = [asyncio.create_task(at.ask()) for _ in range(3)]
        await asyncio.sleep(0.5)
        shown.append(at.count("connection_pool_active", provider="openai"))
        await asyncio.gather(*calls)
        shown.append(at.count("connection_pool_active", provider="openai"))
        shown.append(at.count("connection_pool_size", provider="openai"))
        return shown

    assert run_virtual(main()) == [0, 3, 0, 1024]


def test_reading_a_reply_is_timed() -> None:
    at = stand(Provider.OPENAI)
    run_virtual(at.ask())
    labels = {"provider": "openai", "validation_type": "comparison_response"}
    assert at.count("validation_duration_seconds_count", **labels) == 1


@pytest.mark.parametrize(
    ("details", "label"), [({"reason": "tie"}, "tie"), ({"reason": "made up by a mode"}, "other"), ({}, "none")]
)
def test_failures_are_counted_by_their_reason_and_labels_are_bounded(details: dict[str, str], label: str) -> None:
    counted = Counted()
    counted.metrics.unanswered(Provider.MOCK, None, Failure(ErrorCode.TIMEOUT, "Late.", details))
    assert counted.registry.get_sample_value(
        "llm_provider_failure_reasons_total", {"provider": "mock", "error_code": "TIMEOUT", "reason": label}
    ) == 1  # fmt: skip


def test_tokens_and_dollars_of_failures_count_too() -> None:
    counted = Counted()
    billed = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    failure = Failure(ErrorCode.INVALID_RESPONSE, "No.", {"token_usage": billed, "cost_estimate": 0.25})
    counted.metrics.unanswered(Provider.MOCK, None, failure)
    assert counted.value("tokens_used_total", token_type="completion") == 20  # noqa: S106 - a kind of token
    assert counted.value("cost_dollars_total") == 0.25
