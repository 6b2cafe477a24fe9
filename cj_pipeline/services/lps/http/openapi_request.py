"""This module narrows the schema of a comparison to the providers of one instance and to what each model takes."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cj_pipeline.contracts.enums import OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.contracts.topics import TOPIC_PATTERN
from cj_pipeline.services.lps.http.admission import MODEL_NAME_PATTERN
from cj_pipeline.services.lps.providers.manifest import Manifest, Model
from cj_pipeline.services.shared.openapi import Json

EXAMPLE: Json = {
    "user_prompt": "Essay A:\n...\n\nEssay B:\n...\n\nWhich of the two is better?",
    "callback_topic": "huleedu.llm_provider.comparison_result.v1",
    "correlation_id": "7b0c8c6e-2f53-4a3c-9d0e-5a1f0b7c2d11",
    "metadata": {"essay_a_id": "essay-1", "essay_b_id": "essay-2", "cj_batch_id": "17"},
    "llm_config_overrides": {"provider_override": "mock", "temperature_override": 0.2},
}


def narrow_request(
    schemas: Json, manifest: Manifest, providers: Collection[Provider], default_models: dict[Provider, str]
) -> None:
    """Change the schemas of a comparison in place. providers: those that requests may name."""
    overrides = schemas["LLMConfigOverrides"]
    variants = [
        variant
        for provider in providers
        for variant in _variants(overrides, manifest, provider, default_models.get(provider))
    ]
    if variants:
        schemas["LLMConfigOverrides"] = {"description": overrides["description"], "anyOf": variants}
    request = schemas["ComparisonRequest"]
    request["examples"] = [EXAMPLE]
    request["required"] = [*request["required"], "llm_config_overrides"]
    request["properties"]["llm_config_overrides"] = {"$ref": "#/components/schemas/LLMConfigOverrides"}
    request["properties"]["callback_topic"] = {
        "type": "string",
        "pattern": f"^{TOPIC_PATTERN}$",
        "not": {"enum": [".", ".."]},
        "description": "Where the result is published.",
    }


def _variants(overrides: Json, manifest: Manifest, provider: Provider, default_model: str | None) -> list[Json]:
    """Return the overrides of a provider, once for all of its models that take the same."""
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
        limit = {"type": "integer", "minimum": 1, "maximum": models[0].max_tokens}
        limits: Json = {
            "model_override": {"enum": [*names, None] if default else names},
            "max_tokens_override": {"anyOf": [limit, {"type": "null"}]},
            "reasoning_effort": {"enum": [*_efforts(models[0]), None]},
            "output_verbosity": {"enum": [*_verbosities(models[0]), None]},
        }
        variants.append(_variant(overrides, title, provider, limits, () if default else ("model_override",)))
    return variants


def _variant(overrides: Json, title: str, provider: Provider, narrower: Json, required: Iterable[str]) -> Json:
    return {
        "title": title,
        "type": "object",
        "properties": overrides["properties"] | {"provider_override": {"const": provider.value}} | narrower,
        "required": ["provider_override", *required],
        "additionalProperties": True,
    }


def _efforts(model: Model) -> tuple[str, ...]:
    return tuple(effort.value for effort in ReasoningEffort if model.takes_effort(effort))


def _verbosities(model: Model) -> tuple[str, ...]:
    return tuple(verbosity.value for verbosity in OutputVerbosity if model.takes_verbosity(verbosity))
