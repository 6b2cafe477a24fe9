"""This module answers `GET /api/v1/providers`: the providers that can be asked, and their results so far."""

from __future__ import annotations

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.mock.judge import MOCK_MODEL
from cj_pipeline.services.lps.http.answers import ProviderList, ProviderState
from cj_pipeline.services.lps.providers.breaker import BreakerProvider, CircuitState
from cj_pipeline.services.lps.service import LlmProviderService


def providers_report(service: LlmProviderService) -> ProviderList:
    """Return every provider, registered or not.

    Figures count from the process's start, those of today from midnight UTC.
    """
    requests, cost = service.stats.today()
    return ProviderList(
        providers=[_provider(service, provider) for provider in Provider],
        default_provider=service.settings.default_llm_provider,
        selection_strategy="by_request",  # each request names its provider; nothing is ever chosen for it
        total_requests_today=requests,
        total_cost_today=round(cost, 6),
    )


def _provider(service: LlmProviderService, provider: Provider) -> ProviderState:
    registered = service.providers.get(provider)
    state = registered.circuit_state if isinstance(registered, BreakerProvider) else CircuitState.CLOSED
    record = service.stats.of(provider)
    return ProviderState(
        name=provider,
        enabled=registered is not None,
        available=registered is not None and state is not CircuitState.OPEN,
        circuit_breaker_state=state,
        default_model=service.settings.default_models().get(provider, MOCK_MODEL),
        last_success=record.last_success,
        last_failure=record.last_failure,
        failure_count=record.failures,
        average_response_time_ms=record.mean_response_ms,
    )
