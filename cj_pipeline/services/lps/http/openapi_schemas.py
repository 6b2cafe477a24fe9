"""The bodies of the HTTP surface, as JSON schemas.

Here: the contracts' schemas, the answers that have no contract, and what one instance makes narrower: which providers
and models a request may name, and what each model takes. Not here: which route answers what (openapi.py).

The models below are for the document alone: endpoints build their JSON by hand, and a test holds every answer against
these schemas.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.comparison import ComparisonRequest, QueuedResponse
from cj_pipeline.contracts.enums import OutputVerbosity, Provider, QueueStatus, ReasoningEffort
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.topics import TOPIC_PATTERN
from cj_pipeline.services.lps.http.admission import MODEL_NAME_PATTERN
from cj_pipeline.services.lps.providers.breaker import CircuitState
from cj_pipeline.services.lps.providers.manifest import Manifest, Model

Schema = dict[str, Any]

_REF = "#/components/schemas/{model}"

Count = Annotated[int, Field(ge=0)]


class _Answer(BaseModel):
    """An answer has no fields but those that are documented."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class FlatError(_Answer):
    """A request that is not well formed, or a service that cannot take it. No field repeats what was sent."""

    error: str
    details: str | None = None
    correlation_id: UUID | None = None


class ErrorBody(_Answer):
    """What went wrong, by a code."""

    code: ErrorCode
    message: str
    correlation_id: UUID | None
    service: Literal["llm_provider_service"]
    timestamp: AwareDatetime
    details: dict[str, Any]


class NestedError(_Answer):
    """A well-formed request that cannot be served."""

    error: ErrorBody


class UnknownProviderError(_Answer):
    """A `provider` that cannot be listed."""

    error: str
    valid_providers: list[Provider]


class RequestStatus(_Answer):
    """Where an accepted request stands. attempts: made before the present one."""

    queue_id: UUID
    correlation_id: UUID
    status: QueueStatus
    attempts: Count
    callback_published: bool
    result_location: str | None


class ModelInfo(_Answer):
    """One model. Prices are US dollars per 1,000 tokens, null where unknown; release_date is an HTTP date."""

    model_id: str
    provider: Provider
    display_name: str
    model_family: str
    max_tokens: Annotated[int, Field(gt=0)]
    context_window: Annotated[int, Field(gt=0)]
    supports_streaming: bool
    capabilities: dict[str, bool]
    cost_per_1k_input_tokens: Annotated[float, Field(ge=0)] | None
    cost_per_1k_output_tokens: Annotated[float, Field(ge=0)] | None
    is_deprecated: bool
    release_date: str | None
    recommended_for: list[str]


class ModelList(_Answer):
    """Models by provider; the mock has none."""

    providers: dict[str, list[ModelInfo]]
    total_models: Count


class ProviderState(_Answer):
    """One provider, with what it did since the process started. Times are ISO 8601, UTC."""

    name: Provider
    enabled: bool
    available: bool
    circuit_breaker_state: CircuitState
    default_model: str
    last_success: AwareDatetime | None
    last_failure: AwareDatetime | None
    failure_count: Count
    average_response_time_ms: Annotated[float, Field(ge=0)] | None


class ProviderList(_Answer):
    """All providers, and the sums of the day (UTC). total_cost_today: US dollars."""

    providers: list[ProviderState]
    default_provider: Provider
    selection_strategy: Literal["by_request"]
    total_requests_today: Count
    total_cost_today: Annotated[float, Field(ge=0)]


class ProviderTrial(_Answer):
    """The provider answered."""

    success: Literal[True]
    provider: Provider
    message: str


class MockModeState(_Answer):
    """How the mock answers. mock_mode: null for the default mode."""

    use_mock_llm: bool
    mock_mode: str | None
    default_provider: Provider


class HealthChecks(_Answer):
    """service_responsive: requests are accepted and answered; dependencies_available: the queue's store is there."""

    service_responsive: bool
    dependencies_available: bool


class ProviderHealth(_Answer):
    """enabled: not switched off by a setting; configured: can be asked."""

    enabled: bool
    configured: bool


class MockHealth(_Answer):
    """registered: requests may name `mock`."""

    allowed: bool
    registered: bool
    seed: int


class Health(_Answer):
    """Whether the service does its work, and what it depends on. warnings: left out when there are none."""

    service: Literal["llm_provider_service"]
    status: Literal["healthy", "unhealthy"]
    message: str
    version: str
    checks: HealthChecks
    dependencies: dict[str, dict[str, str | int]]
    environment: str
    providers: dict[str, ProviderHealth]
    mock_mode: str | None
    mock_provider: MockHealth
    warnings: list[str] = Field(default_factory=list)


_ANSWERS = (
    FlatError,
    NestedError,
    UnknownProviderError,
    RequestStatus,
    ModelList,
    ProviderList,
    ProviderTrial,
    MockModeState,
    Health,
)


def component_schemas(
    manifest: Manifest, providers: Collection[Provider], default_models: dict[Provider, str]
) -> dict[str, Schema]:
    """`components.schemas` of an instance. providers: those that requests may name."""
    _, generated = models_json_schema(
        [
            # As written on the way in, and as read on the way out, for a request has defaults and an answer has not.
            (ComparisonRequest, "validation"),
            (QueuedResponse, "serialization"),
            (CallbackEvent, "serialization"),
            *((model, "validation") for model in _ANSWERS),
        ],
        ref_template=_REF,
    )
    schemas: dict[str, Schema] = generated["$defs"]
    overrides = schemas["LLMConfigOverrides"]
    variants = [
        variant
        for provider in providers
        for variant in _variants(overrides, manifest, provider, default_models.get(provider))
    ]
    if variants:
        schemas["LLMConfigOverrides"] = {"description": overrides["description"], "anyOf": variants}
    request = schemas["ComparisonRequest"]
    request["required"] = [*request["required"], "llm_config_overrides"]
    request["properties"]["llm_config_overrides"] = {"$ref": _REF.format(model="LLMConfigOverrides")}
    request["properties"]["callback_topic"] = {
        "type": "string",
        "pattern": f"^{TOPIC_PATTERN}$",
        "not": {"enum": [".", ".."]},
        "description": "Where the result is published.",
    }
    return schemas


def _variants(overrides: Schema, manifest: Manifest, provider: Provider, default_model: str | None) -> list[Schema]:
    """The overrides of a provider, once for all of its models that take the same."""
    if default_model is None:  # the mock
        named = {"anyOf": [{"type": "string", "pattern": f"^{MODEL_NAME_PATTERN}$"}, {"type": "null"}]}
        return [_variant(overrides, provider.value, provider, {"model_override": named}, ())]
    alike: dict[tuple[object, ...], list[Model]] = {}
    for model in manifest.models(provider, include_deprecated=True):
        if not model.is_retired:
            alike.setdefault((model.max_tokens, _efforts(model), _verbosities(model)), []).append(model)
    variants = []
    for models in alike.values():
        names: list[str | None] = [model.model_id for model in models]
        default = default_model in names
        title = f"{provider.value}: {', '.join(model.model_id for model in models)}{' (default)' if default else ''}"
        limits = {
            "model_override": {"enum": [*names, None] if default else names},
            "max_tokens_override": _or_null({"type": "integer", "minimum": 1, "maximum": models[0].max_tokens}),
            "reasoning_effort": {"enum": [*_efforts(models[0]), None]},
            "output_verbosity": {"enum": [*_verbosities(models[0]), None]},
        }
        variants.append(_variant(overrides, title, provider, limits, () if default else ("model_override",)))
    return variants


def _variant(
    overrides: Schema, title: str, provider: Provider, narrower: dict[str, Schema], required: Iterable[str]
) -> Schema:
    properties = overrides["properties"] | {"provider_override": {"const": provider.value}} | narrower
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": ["provider_override", *required],
        "additionalProperties": True,
    }


def _efforts(model: Model) -> tuple[str, ...]:
    return tuple(effort.value for effort in ReasoningEffort if model.takes_effort(effort))


def _verbosities(model: Model) -> tuple[str, ...]:
    return tuple(verbosity.value for verbosity in OutputVerbosity if model.takes_verbosity(verbosity))


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}
