"""This module holds the settings of the real providers, with production's names and defaults."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from cj_pipeline.contracts.enums import Provider

_NO_KEY = SecretStr("")


class ProviderSettings(BaseModel):
    """Explicit settings of the real providers. A provider without a key is not registered."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    openai_api_key: SecretStr = _NO_KEY
    """Registers the provider."""
    anthropic_api_key: SecretStr = _NO_KEY
    """Registers the provider."""
    google_api_key: SecretStr = _NO_KEY
    """Registers the provider."""
    openrouter_api_key: SecretStr = _NO_KEY
    """Registers the provider."""

    openai_default_model: Annotated[str, Field(min_length=1)] = "gpt-5.1"
    """Asked when a request names no model; the manifest must have it."""
    anthropic_default_model: Annotated[str, Field(min_length=1)] = "claude-haiku-4-5-20251001"
    """The same."""
    google_default_model: Annotated[str, Field(min_length=1)] = "gemini-2.5-flash-preview-05-20"
    """The same."""
    openrouter_default_model: Annotated[str, Field(min_length=1)] = "anthropic/claude-haiku-4-5-20251001"
    """The same."""

    openai_base_url: str = "https://api.openai.com/v1"
    """Where its API is."""
    anthropic_base_url: str | None = None
    """None: https://api.anthropic.com/v1."""
    openrouter_base_url: str = "https://openrouter.ai/api/v1"
    """Where its API is."""

    llm_default_temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.7
    """Asked of models that take one, when a request says nothing."""
    llm_default_max_tokens: Annotated[int, Field(gt=0)] = 4096
    """Cut to what the model can write."""

    enable_prompt_caching: bool = True
    """Whether Anthropic is asked to cache tool, system prompt and cacheable blocks."""
    prompt_cache_ttl_seconds: Annotated[int, Field(gt=0)] = 3600
    """See use_extended_ttl_for_service_constants."""
    use_extended_ttl_for_service_constants: bool = False
    """Cache tool and system prompt for 1h in requests without blocks, if prompt_cache_ttl_seconds is 3600 or more."""

    circuit_breaker_enabled: bool = True
    """Whether a provider that fails repeatedly is left alone for a while."""
    llm_circuit_breaker_failure_threshold: Annotated[int, Field(ge=1)] = 3
    """Failures in a row that open a provider's breaker."""
    llm_circuit_breaker_recovery_timeout: Annotated[float, Field(gt=0)] = 120
    """Seconds that it stays open."""
    llm_circuit_breaker_success_threshold: Annotated[int, Field(ge=1)] = 2
    """Probes in a row that must succeed before it closes."""

    def default_models(self) -> dict[Provider, str]:
        """Whom a request asks that names no model."""
        return {
            Provider.ANTHROPIC: self.anthropic_default_model,
            Provider.OPENAI: self.openai_default_model,
            Provider.GOOGLE: self.google_default_model,
            Provider.OPENROUTER: self.openrouter_default_model,
        }

    @field_validator("openai_base_url", "anthropic_base_url", "openrouter_base_url")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url.rstrip("/")
