"""This module sets up the real providers of one service, each with its breaker."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from pydantic import SecretStr

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.apis.anthropic import AnthropicApi
from cj_pipeline.services.lps.providers.apis.api import Api
from cj_pipeline.services.lps.providers.apis.google import GoogleApi
from cj_pipeline.services.lps.providers.apis.openai import OpenAiApi
from cj_pipeline.services.lps.providers.apis.openrouter import OpenRouterApi
from cj_pipeline.services.lps.providers.breaker import BreakerProvider, CircuitBreaker
from cj_pipeline.services.lps.providers.http_provider import HttpProvider, RealProvider
from cj_pipeline.services.lps.providers.manifest import Manifest, addresses_of
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.settings import ProviderSettings

_APIS: dict[Provider, Callable[[ProviderSettings], Api]] = {
    Provider.ANTHROPIC: AnthropicApi,
    Provider.OPENAI: OpenAiApi,
    Provider.GOOGLE: GoogleApi,
    Provider.OPENROUTER: OpenRouterApi,
}


def api_of(settings: ProviderSettings, provider: Provider) -> Api:
    """Return the API of a real provider, set up but not asked. Raises KeyError for the mock."""
    return _APIS[provider](settings)


def api_key(settings: ProviderSettings, provider: Provider) -> SecretStr:
    """The key of a real provider, empty when it has none. Raises KeyError for the mock."""
    return {
        Provider.ANTHROPIC: settings.anthropic_api_key,
        Provider.OPENAI: settings.openai_api_key,
        Provider.GOOGLE: settings.google_api_key,
        Provider.OPENROUTER: settings.openrouter_api_key,
    }[provider]


def registered_providers(
    settings: ProviderSettings,
    manifest: Manifest,
    metrics: ProviderMetrics,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
) -> dict[Provider, RealProvider]:
    """Return the providers that are not switched off and have a key, need none, or have a model elsewhere.

    The caller closes them.

    transport: where all calls go instead of the network, in tests. Raises UnknownModel when the manifest lacks the
    default model of one of them: better at the start than on each request.
    """
    providers: dict[Provider, RealProvider] = {}
    for name in _APIS:
        api = api_of(settings, name)
        elsewhere = bool(addresses_of(manifest, name))
        if name in settings.switched_off or not (api.endpoint.can_be_asked or elsewhere):
            continue
        manifest.find(name, api.default_model)
        provider = HttpProvider(api, manifest, metrics, settings, transport=transport)
        providers[name] = behind_breaker(provider, settings, metrics) if settings.circuit_breaker_enabled else provider
    return providers


def behind_breaker(provider: HttpProvider, settings: ProviderSettings, metrics: ProviderMetrics) -> BreakerProvider:
    """A provider with a breaker of its own."""
    breaker = CircuitBreaker(
        f"llm_{provider.name.value}",
        metrics,
        failure_threshold=settings.llm_circuit_breaker_failure_threshold,
        recovery_timeout_s=settings.llm_circuit_breaker_recovery_timeout,
        success_threshold=settings.llm_circuit_breaker_success_threshold,
    )
    return BreakerProvider(provider, breaker)
