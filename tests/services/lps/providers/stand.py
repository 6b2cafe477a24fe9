"""What the tests of the providers share: accepted requests, and a provider in front of a fake API.

Here: builders. Not here: assertions, the fakes (fakes.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from cj_pipeline.contracts.answer import Failure, ProviderAnswer, ProviderError
from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.http_provider import RealProvider
from cj_pipeline.services.lps.providers.manifest import load_manifest
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.prompts import prompt_sha256
from cj_pipeline.services.lps.providers.registry import registered_providers
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest, queue_id_of
from tests.services.lps.providers.fake_api import KEYS, Fake
from tests.services.lps.providers.fakes import FAKES

# Stands in for an essay: it must not come out anywhere but in the payload.
MARKER = "Zwetschgendatschi"
PROMPT = f"Which essay is better? A: {MARKER}. B: another."

MODELS = {
    Provider.OPENAI: "gpt-5-mini-2025-08-07",
    Provider.ANTHROPIC: "claude-haiku-4-5-20251001",
    Provider.GOOGLE: "gemini-2.5-flash-preview-05-20",
    Provider.OPENROUTER: "anthropic/claude-haiku-4-5-20251001",
}
REAL = tuple(MODELS)

CORRELATION_ID = keyed_uuid("tests", "providers")


def queued(
    provider: Provider,
    *,
    prompt: str = PROMPT,
    blocks: list[dict[str, Any]] | None = None,
    metadata: dict[str, Any] | None = None,
    **overrides: Any,
) -> QueuedRequest:
    """An accepted request for the provider's usual model, unless the overrides name another."""
    request = ComparisonRequest.model_validate(
        {
            "user_prompt": prompt,
            "callback_topic": "test.providers.v1",
            "prompt_blocks": blocks,
            "metadata": metadata or {},
            "llm_config_overrides": {
                "provider_override": provider.value,
                "model_override": MODELS.get(provider),
                **overrides,
            },
        }
    )
    assert request.llm_config_overrides is not None
    return QueuedRequest(
        queue_id=queue_id_of(CORRELATION_ID),
        correlation_id=CORRELATION_ID,
        request=request,
        overrides=request.llm_config_overrides,
        provider=provider,
        resolved_provider=provider,
        model_label="default",
        prompt_sha256=prompt_sha256(provider, request),
        requested_at=datetime(2025, 12, 1, tzinfo=UTC),
        enqueued_at=0.0,
        expires_at=3600.0,
        size_bytes=100,
    )


@dataclass
class Stand:
    """One provider, the fake that it asks, and what is counted."""

    fake: Fake
    provider: RealProvider
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    async def ask(self, **kwargs: Any) -> ProviderAnswer:
        return await self.provider.answer(queued(self.provider.name, **kwargs), 0)

    async def fails(self, **kwargs: Any) -> Failure:
        """The failure of an attempt that must fail."""
        try:
            answer = await self.ask(**kwargs)
        except ProviderError as error:
            return error.failure
        raise AssertionError(f"an answer instead of a failure: {answer}")

    def count(self, name: str, **labels: str) -> float | None:
        """The value of one series; None when nothing was written to it."""
        return self.registry.get_sample_value(f"llm_provider_{name}", labels)


def stand(provider: Provider, **settings: Any) -> Stand:
    """A provider with its key, in front of its fake. settings: by default without a breaker."""
    fake = FAKES[provider]()
    registry = CollectorRegistry()
    providers = registered_providers(
        ProviderSettings(**{f"{provider.value}_api_key": KEYS[provider], "circuit_breaker_enabled": False, **settings}),
        load_manifest(),
        ProviderMetrics(registry),
        transport=fake.transport(),
    )
    return Stand(fake, providers[provider], registry)


def ask(provider: Provider, **kwargs: Any) -> tuple[ProviderAnswer, dict[str, Any]]:
    """(answer, payload as the API received it) of one request."""
    at = stand(provider)
    answer = run_virtual(at.ask(**kwargs))
    return answer, at.fake.received[-1].body
