"""This module holds the settings of the real providers, with production's names and defaults."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from cj_pipeline.contracts.enums import Provider

BASE_URLS = {
    Provider.OPENAI: "https://api.openai.com/v1",
    Provider.ANTHROPIC: "https://api.anthropic.com/v1",
    Provider.GOOGLE: "https://generativelanguage.googleapis.com",
    Provider.OPENROUTER: "https://openrouter.ai/api/v1",
}

_NO_KEY = SecretStr("")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _mapping(value: object) -> object:
    """Read what a variable gives: a JSON object. Raises ValueError, without what was given: it may hold a key."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return {}
    try:
        read = json.loads(value)
    except ValueError:
        read = None
    if not isinstance(read, dict) or not all(isinstance(entry, str) for entry in read.values()):
        raise ValueError('not a JSON object of texts, such as {"X-Team": "essays"}')
    return read


# Secret: a gateway's key may be among them. NoDecode: the reader's own complaint would quote the variable.
Secrets = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_mapping)]
Seconds = Annotated[float, Field(gt=0.0)] | None


def base_url_problem(url: str) -> str:
    """Return why an address cannot be a base URL, without the address; empty where it can."""
    if not url.startswith(("http://", "https://")):
        return "must start with http:// or https://"
    # An address is shown and logged, and paths are put behind it.
    if "@" in urlsplit(url).netloc:
        return "must not hold a user or password: set the API key, or extra headers"
    if "?" in url or "#" in url:
        return "must not hold a query: set the extra query"
    return ""


class ProviderSettings(BaseModel):
    """Explicit settings of the real providers.

    A provider without a key is not registered, unless its base URL is of this machine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    openai_api_key: SecretStr = _NO_KEY
    """Registers the provider."""
    anthropic_api_key: SecretStr = _NO_KEY
    """Registers the provider."""
    google_api_key: SecretStr = _NO_KEY
    """Registers the provider."""
    openrouter_api_key: SecretStr = _NO_KEY
    """Registers the provider."""

    openai_enabled: bool = True
    """false: it is never asked, whatever keys there are; requests that name it are refused."""
    anthropic_enabled: bool = True
    """The same."""
    google_enabled: bool = True
    """The same."""
    openrouter_enabled: bool = True
    """The same."""

    openai_default_model: Annotated[str, Field(min_length=1)] = "gpt-5.1"
    """Asked when a request names no model; the manifest must have it."""
    anthropic_default_model: Annotated[str, Field(min_length=1)] = "claude-haiku-4-5-20251001"
    """The same."""
    google_default_model: Annotated[str, Field(min_length=1)] = "gemini-2.5-flash-preview-05-20"
    """The same."""
    openrouter_default_model: Annotated[str, Field(min_length=1)] = "anthropic/claude-haiku-4-5-20251001"
    """The same."""

    openai_base_url: str = BASE_URLS[Provider.OPENAI]
    """Where its API is, or one like it (docs/endpoints.md); `{model}` becomes the model's id. No key is needed for a
    server on this machine."""
    anthropic_base_url: str | None = None
    """The same. None: https://api.anthropic.com/v1."""
    google_base_url: str = BASE_URLS[Provider.GOOGLE]
    """The same; the version of the API and the model follow."""
    openrouter_base_url: str = BASE_URLS[Provider.OPENROUTER]
    """The same."""

    openai_api_key_header: str = "Authorization"
    """Which header carries the key; in `Authorization` it is a bearer token."""
    anthropic_api_key_header: str = "x-api-key"
    """The same."""
    google_api_key_header: str = "x-goog-api-key"
    """The same."""
    openrouter_api_key_header: str = "Authorization"
    """The same."""

    openai_extra_headers: Secrets = Field(default_factory=dict)
    """Headers that go along with each call, as a JSON object of names and texts; never logged."""
    anthropic_extra_headers: Secrets = Field(default_factory=dict)
    """The same."""
    google_extra_headers: Secrets = Field(default_factory=dict)
    """The same."""
    openrouter_extra_headers: Secrets = Field(default_factory=dict)
    """The same."""

    openai_extra_query: Secrets = Field(default_factory=dict)
    """Query parameters of each call, such as Azure's `api-version`; the same form."""
    anthropic_extra_query: Secrets = Field(default_factory=dict)
    """The same."""
    google_extra_query: Secrets = Field(default_factory=dict)
    """The same."""
    openrouter_extra_query: Secrets = Field(default_factory=dict)
    """The same."""

    llm_connect_timeout_seconds: Seconds = None
    """For a connection. None: openai 5, anthropic 8, google 6, openrouter 10. A model's entry in the manifest counts
    before it (`connect_timeout_s`)."""
    llm_read_timeout_seconds: Seconds = None
    """Between two bytes of a reply. None: 25, 35, 30, 40, and no less than the next. Before it: `read_timeout_s`."""
    llm_total_timeout_seconds: Seconds = None
    """For a whole call. None: 30, 45, 40, 50; 280 for a server on this machine without a key. Before it:
    `total_timeout_s`."""

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

    llm_bad_verdict_retries: Annotated[int, Field(ge=0, le=3)] = 1
    """How often the judge is asked once more within an attempt when its answer holds no usable verdict. At temperature
    0 the answer would be the same, so only an empty one is asked for again."""
    keep_replies_dir: Path | None = None
    """Keep what judges reply in this folder, byte for byte: replies quote essays. Nothing is kept unless it is set; it
    must not be a folder of traces."""
    keep_replies_max_mb: Annotated[float, Field(gt=0.0)] = 100.0
    """Of the kept replies together; the oldest go first."""

    circuit_breaker_enabled: bool = True
    """Whether a provider that fails repeatedly is left alone for a while; its requests wait."""
    llm_circuit_breaker_failure_threshold: Annotated[int, Field(ge=1)] = 3
    """Failures in a row that open a provider's breaker."""
    llm_circuit_breaker_recovery_timeout: Annotated[float, Field(gt=0)] = 120
    """Seconds that it stays open."""
    llm_circuit_breaker_success_threshold: Annotated[int, Field(ge=1)] = 2
    """Probes in a row that must succeed before it closes."""

    @property
    def switched_off(self) -> frozenset[Provider]:
        """The real providers that are never asked."""
        enabled = {
            Provider.OPENAI: self.openai_enabled,
            Provider.ANTHROPIC: self.anthropic_enabled,
            Provider.GOOGLE: self.google_enabled,
            Provider.OPENROUTER: self.openrouter_enabled,
        }
        return frozenset(provider for provider, is_enabled in enabled.items() if not is_enabled)

    def default_models(self) -> dict[Provider, str]:
        """Whom a request asks that names no model."""
        return {
            Provider.ANTHROPIC: self.anthropic_default_model,
            Provider.OPENAI: self.openai_default_model,
            Provider.GOOGLE: self.google_default_model,
            Provider.OPENROUTER: self.openrouter_default_model,
        }

    @field_validator("openai_base_url", "anthropic_base_url", "google_base_url", "openrouter_base_url")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if problem := base_url_problem(url):
            raise ValueError(problem)
        return url.rstrip("/")

    @field_validator("keep_replies_dir")
    @classmethod
    def _is_no_trace(cls, folder: Path | None) -> Path | None:
        if folder is None:
            return None
        resolved = folder.resolve()
        if any(place.name == "traces" or (place / "scenario.yaml").exists() for place in (resolved, *resolved.parents)):
            raise ValueError("must not lie in a folder of traces: replies quote essays")
        return folder

    @field_validator(
        "openai_api_key_header", "anthropic_api_key_header", "google_api_key_header", "openrouter_api_key_header"
    )
    @classmethod
    def _is_a_header(cls, name: str) -> str:
        if _HEADER_NAME.fullmatch(name) is None:
            raise ValueError("must be the name of a header")
        return name

    @field_validator(
        "openai_extra_headers", "anthropic_extra_headers", "google_extra_headers", "openrouter_extra_headers"
    )
    @classmethod
    def _are_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            text = value.get_secret_value()
            if _HEADER_NAME.fullmatch(name) is None or not text.isascii() or not text.isprintable():
                raise ValueError("must be names of headers with texts in ASCII, without line breaks")
        return headers
