"""This module answers `GET /healthz`: whether the service does its work.

Healthy means: requests are accepted and get answered. A mock alone is enough; production called every deployment
without a real provider's key unhealthy, its own tests' included.
"""

from __future__ import annotations

from cj_pipeline.contracts.enums import Provider, QueueBackend
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.services.lps.http.answers import Health, HealthChecks, MockHealth, ProviderHealth
from cj_pipeline.services.lps.providers.endpoint import endpoint_of
from cj_pipeline.services.lps.service import LlmProviderService

VERSION = "1.0.0"


async def health(service: LlmProviderService) -> Health:
    """Return the state of the service and of what it depends on."""
    settings = service.settings
    depth = await service.depth()
    if not service.providers:
        message = "No provider is registered: set an API key, USE_MOCK_LLM or ALLOW_MOCK_PROVIDER."
    elif not service.running:
        message = "The service is stopping, or its workers have stopped."
    elif depth is None:
        message = "The queue's store cannot be reached."
    else:
        message = "The service answers comparisons."
    healthy = bool(service.providers) and service.running and depth is not None
    dependencies: dict[str, dict[str, str | int]] = {
        "queue": {
            "backend": settings.queue_backend.value,
            "processing_mode": settings.queue_processing_mode.value,
        }
    }
    if depth is not None:
        dependencies["queue"] |= {"queued": depth.queued, "total": depth.total, "max_size": settings.queue_max_size}
    if settings.queue_backend is QueueBackend.REDIS:
        dependencies["redis"] = {"status": "healthy" if depth is not None else "unhealthy"}
    else:
        dependencies["redis"] = {"status": "not_used"}
    failing = service.publisher.failing_topics
    dependencies["bus"] = {"status": "failing" if failing else "healthy"}
    # Names are the clients'; how many is enough to look into the log.
    warnings = [f"Callbacks wait for {len(failing)} topic(s) that the bus does not take."] if failing else None
    return Health(
        service=LPS_SOURCE_SERVICE,
        status="healthy" if healthy else "unhealthy",
        message=message,
        version=VERSION,
        checks=HealthChecks(service_responsive=service.running, dependencies_available=depth is not None),
        dependencies=dependencies,
        environment=settings.environment,
        providers={
            provider.value: ProviderHealth(
                enabled=provider not in settings.switched_off, configured=endpoint_of(settings, provider).can_be_asked
            )
            for provider in Provider
            if provider is not Provider.MOCK
        },
        mock_mode=settings.use_mock_llm,
        mock_mode_name=service.mode_name,
        mock_provider=MockHealth(
            allowed=settings.allow_mock_provider,
            registered=Provider.MOCK in service.providers,
            seed=settings.mock_provider_seed,
        ),
        **({"warnings": warnings} if warnings else {}),
    )
