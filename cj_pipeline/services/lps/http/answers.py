"""This module holds the answers of the routes as models: endpoints build them, the OpenAPI document shows them.

The 202 of a comparison and the callback are contracts, and are not here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, PlainSerializer

from cj_pipeline.contracts.enums import Provider, QueueStatus
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.services.lps.providers.breaker import CircuitState
from cj_pipeline.services.shared.openapi import Answer as Answer

Count = Annotated[int, Field(ge=0)]
NotNegative = Annotated[float, Field(ge=0)]
# With `+00:00`, as these two fields always had it; elsewhere the wire says `Z`.
Instant = Annotated[AwareDatetime, PlainSerializer(datetime.isoformat, return_type=str)]
ServiceName = Literal["llm_provider_service"]


class FlatError(Answer):
    """A request that is not well formed, or a service that cannot take it. No field repeats what was sent."""

    error: str = Field(examples=["Malformed JSON"])
    details: str | None = Field(default=None, examples=["The body is not valid JSON."])
    correlation_id: UUID | None = None


class ErrorBody(Answer):
    """What went wrong, by a code."""

    code: ErrorCode = Field(examples=[ErrorCode.LLM_QUEUE_FULL])
    message: str = Field(examples=["The queue is full (800 of 1000 requests; the limit is its size). Try again later."])
    correlation_id: UUID | None
    service: ServiceName
    timestamp: AwareDatetime
    details: dict[str, Any] = Field(examples=[{"queue_size": 800, "queue_max_size": 1000, "limit": "size"}])


class NestedError(Answer):
    """A well-formed request that cannot be served."""

    error: ErrorBody


class UnknownProviderError(Answer):
    """A `provider` that cannot be listed."""

    error: str
    valid_providers: list[Provider]


class RequestStatus(Answer):
    """The state of an accepted request. attempts: made before the present one."""

    queue_id: UUID
    correlation_id: UUID
    status: QueueStatus
    attempts: Count
    callback_published: bool
    result_location: str | None


class ModelInfo(Answer):
    """One model. Prices are US dollars per 1,000 tokens, null where unknown; release_date is an HTTP date."""

    model_id: str
    provider: Provider
    display_name: str
    model_family: str
    max_tokens: Annotated[int, Field(gt=0)]
    context_window: Annotated[int, Field(gt=0)]
    supports_streaming: bool
    capabilities: dict[str, bool]
    cost_per_1k_input_tokens: NotNegative | None
    cost_per_1k_output_tokens: NotNegative | None
    is_deprecated: bool
    release_date: str | None = Field(examples=["Wed, 01 Oct 2025 00:00:00 GMT"])
    recommended_for: tuple[str, ...]


class ModelList(Answer):
    """Models by provider; the mock has none."""

    providers: dict[str, list[ModelInfo]]
    total_models: Count


class ProviderState(Answer):
    """One provider, with what it did since the process started. Times are ISO 8601, UTC."""

    name: Provider
    enabled: bool
    available: bool
    circuit_breaker_state: CircuitState
    default_model: str
    last_success: Instant | None
    last_failure: Instant | None
    failure_count: Count
    average_response_time_ms: NotNegative | None


class ProviderList(Answer):
    """All providers, and the sums of the day (UTC). total_cost_today: US dollars."""

    providers: list[ProviderState]
    default_provider: Provider
    selection_strategy: Literal["by_request"]
    total_requests_today: Count
    total_cost_today: NotNegative


class ProviderTrial(Answer):
    """The provider answered."""

    success: Literal[True]
    provider: Provider
    message: str


class MockModeState(Answer):
    """How the mock answers. mock_mode: null for the default mode."""

    use_mock_llm: bool
    mock_mode: str | None = Field(examples=["cj_generic_batch"])
    default_provider: Provider


class HealthChecks(Answer):
    """service_responsive: requests are accepted and answered; dependencies_available: the queue's store is there."""

    service_responsive: bool
    dependencies_available: bool


class ProviderHealth(Answer):
    """enabled: not switched off by a setting; configured: has a key, or needs none."""

    enabled: bool
    configured: bool


class MockHealth(Answer):
    """registered: requests may name `mock`."""

    allowed: bool
    registered: bool
    seed: int


class Health(Answer):
    """Whether the service does its work, and what it depends on.

    mock_mode: whether the mock answers for every provider; mock_mode_name: how, null for the default mode. warnings:
    left out when there are none.
    """

    service: ServiceName
    status: Literal["healthy", "unhealthy"]
    message: str
    version: str
    checks: HealthChecks
    dependencies: dict[str, dict[str, str | int]]
    environment: str
    providers: dict[str, ProviderHealth]
    mock_mode: bool
    mock_mode_name: str | None
    mock_provider: MockHealth
    warnings: list[str] = Field(default_factory=list)
