"""Who can be asked and how they have been doing, as `GET /api/v1/providers` tells it.

Here: the body. Not here: counting (provider_stats.py), breakers (providers/).
"""

from __future__ import annotations

from typing import Any

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.breaker import BreakerProvider, CircuitState
from cj_pipeline.services.lps.providers.mock import MOCK_MODEL
from cj_pipeline.services.lps.service import LlmProviderService


def providers_report(service: LlmProviderService) -> dict[str, Any]:
    """Every provider, registered or not. Figures count from the process's start, those of today from midnight UTC."""
    requests, cost = service.stats.today()
    return {
        "providers": [_provider(service, provider) for provider in Provider],
        "default_provider": service.settings.default_llm_provider.value,
        # Each request names its provider; nothing is ever chosen for it.
        "selection_strategy": "by_request",
        "total_requests_today": requests,
        "total_cost_today": round(cost, 6),
    }


def _provider(service: LlmProviderService, provider: Provider) -> dict[str, Any]:
    registered = service.providers.get(provider)
    state = registered.circuit_state if isinstance(registered, BreakerProvider) else CircuitState.CLOSED
    record = service.stats.of(provider if registered is None else registered.name)
    return {
        "name": provider.value,
        "enabled": registered is not None,
        "available": registered is not None and state is not CircuitState.OPEN,
        "circuit_breaker_state": state.value,
        "default_model": service.settings.default_models().get(provider, MOCK_MODEL),
        "last_success": None if record.last_success is None else record.last_success.isoformat(),
        "last_failure": None if record.last_failure is None else record.last_failure.isoformat(),
        "failure_count": record.failures,
        "average_response_time_ms": record.mean_response_ms,
    }
