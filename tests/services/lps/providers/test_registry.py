from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.breaker import BreakerProvider
from cj_pipeline.services.lps.providers.manifest import UnknownModel, load_manifest
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.registry import api_key, registered_providers
from cj_pipeline.services.lps.providers.settings import ProviderSettings


def registered(**settings: Any) -> dict[Provider, Any]:
    async def main() -> dict[Provider, Any]:
        manifest, metrics = load_manifest(), ProviderMetrics(CollectorRegistry())
        providers = registered_providers(ProviderSettings(**settings), manifest, metrics)
        for provider in providers.values():
            await provider.aclose()
        return dict(providers)

    return asyncio.run(main())


def test_only_providers_with_a_key_are_registered() -> None:
    assert registered() == {}
    assert registered(openai_api_key="k", google_api_key="  ").keys() == {Provider.OPENAI}
    keys = {f"{name}_api_key": "k" for name in ("openai", "anthropic", "google", "openrouter")}
    providers = registered(**keys)
    assert providers.keys() == set(Provider) - {Provider.MOCK}
    assert all(name is provider.name for name, provider in providers.items())


def test_each_has_a_breaker_of_its_own_unless_they_are_off() -> None:
    providers = registered(openai_api_key="k", google_api_key="k")
    assert all(isinstance(provider, BreakerProvider) for provider in providers.values())
    assert {provider.breaker.name for provider in providers.values()} == {"llm_openai", "llm_google"}
    off = registered(openai_api_key="k", circuit_breaker_enabled=False)
    assert not isinstance(off[Provider.OPENAI], BreakerProvider)


def test_a_default_model_that_the_manifest_lacks_is_found_out_at_the_start() -> None:
    with pytest.raises(UnknownModel, match=r"Did you mean 'gpt-5\.1'\?"):
        registered(openai_api_key="k", openai_default_model="gpt-5.l")
    assert registered(openai_default_model="gpt-5.l") == {}  # not asked, so of no interest


def test_keys_are_not_shown() -> None:
    settings = ProviderSettings(anthropic_api_key="sk-ant-secret")
    assert "sk-ant-secret" not in repr(settings) + settings.model_dump_json()
    assert api_key(settings, Provider.ANTHROPIC).get_secret_value() == "sk-ant-secret"


@pytest.mark.parametrize(
    "wrong",
    [
        {"openai_base_url": "api.openai.com"},
        {"anthropic_base_url": "ftp://x"},
        {"llm_default_temperature": 2.1},
        {"llm_default_max_tokens": 0},
        {"llm_circuit_breaker_failure_threshold": 0},
        {"openai_api_kye": "k"},
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProviderSettings(**wrong)
