"""This module holds the settings of one LPS: production's names and defaults, lower-cased and without their prefix.

`LpsSettings(...)` never looks at the environment: an embedded stack must not change because a shell exports something.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from cj_pipeline.contracts.comparison import MAX_BUNDLE
from cj_pipeline.contracts.enums import BatchApiMode, Provider, QueueBackend, QueueProcessingMode
from cj_pipeline.contracts.topics import CALLBACK_TOPICS
from cj_pipeline.foundation.environment import (
    Listed,
    LogLevel,
    counts_as_production,
    environment_name,
    read_environment,
)
from cj_pipeline.mock.settings import MockSettings
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.queue.queue import QueueLimits

ENVIRONMENT_PREFIX = "LLM_PROVIDER_SERVICE_"


def variable_that_enables(provider: Provider) -> str:
    """Return the variable that switches a real provider off.

    >>> variable_that_enables(Provider.OPENAI)
    'LLM_PROVIDER_SERVICE_OPENAI_ENABLED'
    """
    return f"{ENVIRONMENT_PREFIX}{provider.upper()}_ENABLED"


class BatchEndpointChoice(StrEnum):
    """Who works off the jobs of batch_api."""

    SERVICE = "service"
    PROVIDER = "provider"


class QueueSettings(BaseModel):
    """The queue, its strategies, and how it tries again."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    queue_backend: QueueBackend = QueueBackend.MEMORY
    """memory: what waits is lost with the process. redis: it survives process and, with its append-only file, Redis; so
    it is where the environment has REDIS_URL and nothing else is said."""
    redis_url: SecretStr = SecretStr("redis://localhost:6379/0")
    """Where Redis is; a password in it is never shown."""
    queue_processing_mode: QueueProcessingMode = QueueProcessingMode.PER_REQUEST
    """The strategy: per_request, serial_bundle or batch_api."""
    serial_bundle_max_requests_per_call: Annotated[int, Field(ge=1, le=MAX_BUNDLE)] = MAX_BUNDLE
    """Cap of a bundle or job, whatever its lead asks for."""
    serial_bundle_linger_ms: Annotated[float, Field(ge=0.0)] = 250.0
    """How long a bundle waits for the next request of its wave, where its lead says how many there are; a full one
    leaves at once."""
    batch_api_mode: BatchApiMode = BatchApiMode.DISABLED
    """When batch_api's jobs start: disabled, as soon as something waits; opportunistic, once a job is full or its first
    request has waited `batch_api_linger_seconds`; nightly, within the nightly window."""
    batch_api_linger_seconds: Annotated[float, Field(ge=0.0)] = 5.0
    """How long an opportunistic job waits to be filled."""
    batch_api_nightly_start_hour: Annotated[int, Field(ge=0, le=23)] = 1
    """UTC."""
    batch_api_nightly_hours: Annotated[int, Field(ge=1, le=24)] = 4
    """How long the nightly window stays open."""
    batch_api_endpoint: BatchEndpointChoice = BatchEndpointChoice.SERVICE
    """Who works off batch_api's jobs. service: this process, request by request. provider: the batch endpoint of OpenAI
    or Anthropic, at its price, within 24 hours; requests for other providers go one by one (docs/endpoints.md)."""
    batch_api_jobs_path: Annotated[Path | None, Field(validate_default=True)] = None
    """Folder of the open jobs at providers, which outlives the process; instances of one queue share it."""
    batch_api_poll_seconds: Annotated[float, Field(gt=0.0)] = 60.0
    """Between two looks at a job at a provider; the first looks come sooner."""
    batch_api_max_requests_per_job: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Cap of a job whose lead asks for nothing else. None: as SERIAL_BUNDLE_MAX_REQUESTS_PER_CALL."""
    llm_max_concurrent_requests: Annotated[int, Field(ge=1, le=1024)] = 1
    """Requests (bundles, jobs) answered at the same time. 1 keeps callbacks in the order of the queue."""
    queue_max_size: Annotated[int, Field(ge=1)] = 1000
    """Requests that wait, are being answered, or whose callback waits for the bus."""
    queue_max_memory_mb: Annotated[float, Field(gt=0.0)] = 100.0
    """Of their JSON together."""
    queue_high_watermark: Annotated[float, Field(ge=0.5, le=1.0)] = 0.8
    """Share of size or memory from which requests are refused with 503."""
    queue_low_watermark: Annotated[float, Field(ge=0.0, lt=0.8, validate_default=True)] = 0.6
    """Share below which they are accepted again."""
    queue_request_ttl_hours: Annotated[float, Field(gt=0.0)] = 4.0
    """A request whose turn has not come by then gets an error callback."""
    queue_max_retries: Annotated[int, Field(ge=0)] = 3
    """Further attempts after a failed one that a retry can help; 3 means at most 4 attempts."""
    queue_retry_backoff_seconds: Annotated[float, Field(ge=0.0)] = 1.0
    """Before the first retry; doubled for each further one. A provider's Retry-After counts when it is longer."""
    queue_retry_backoff_max_seconds: Annotated[float, Field(ge=0.0)] = 60.0
    """The backoff never grows beyond this."""
    queue_processing_timeout_seconds: Annotated[float, Field(gt=0.0, validate_default=True)] = 300.0
    """One attempt may take so long; a claim that nobody renews for so long is taken back."""
    shutdown_drain_seconds: Annotated[float, Field(ge=0.0)] = 25.0
    """How long a served process goes on answering after SIGTERM; 25 s, as orchestrators kill after 30."""

    @field_validator("redis_url")
    @classmethod
    def _a_redis_url(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return url

    @field_validator("batch_api_jobs_path")
    @classmethod
    def _needed_for_jobs_elsewhere(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is None and info.data.get("batch_api_endpoint") is BatchEndpointChoice.PROVIDER:
            raise ValueError("must name a folder where batch_api_endpoint is provider: a job there is paid for")
        return path

    @field_validator("queue_low_watermark")
    @classmethod
    def _low_below_high(cls, low: float, info: ValidationInfo) -> float:
        # Of the field and not of the model: complaints of a model name no variable.
        high = info.data.get("queue_high_watermark")
        if high is not None and low >= high:
            raise ValueError(f"must be less than queue_high_watermark, which is {high:g}")
        return low

    @property
    def asks_batch_endpoints(self) -> bool:
        """Whether jobs go to the providers' own batch endpoints."""
        return (
            self.queue_processing_mode is QueueProcessingMode.BATCH_API
            and self.batch_api_endpoint is BatchEndpointChoice.PROVIDER
        )

    @property
    def job_cap(self) -> int:
        """How many requests a bundle or job may have."""
        if self.queue_processing_mode is QueueProcessingMode.BATCH_API:
            return self.batch_api_max_requests_per_job or self.serial_bundle_max_requests_per_call
        return self.serial_bundle_max_requests_per_call

    def queue_limits(self) -> QueueLimits:
        """What the queue needs of these."""
        return QueueLimits(
            max_size=self.queue_max_size,
            max_memory_bytes=round(self.queue_max_memory_mb * 2**20),
            high_watermark=self.queue_high_watermark,
            low_watermark=self.queue_low_watermark,
            claim_timeout_s=self.queue_processing_timeout_seconds,
            max_attempts=self.queue_max_retries + 1,
        )


class LpsSettings(QueueSettings, ProviderSettings, MockSettings):
    """Explicit settings of one service. Raises pydantic.ValidationError for a value that cannot be used."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    use_mock_llm: bool = False
    """The mock answers for every provider, not only for `mock`."""
    allow_mock_provider: bool = True
    """Whether requests may name `mock` when `use_mock_llm` is off."""
    mock_mode: Annotated[str, Field(min_length=1)] = "default"
    """A mode of the mock, with overlays: NAME[+OVERLAY...], or the path of a .yaml file."""
    mock_provider_seed: int = 42
    """Of everything the mock draws."""
    default_llm_provider: Annotated[Provider, Field(validate_default=True)] = Provider.OPENAI
    """Shown by the admin's and the providers' endpoints; a request always names its own."""
    model_manifest_path: Path | None = None
    """A team's own models, which are laid over the built-in ones key by key (docs/endpoints.md)."""
    max_request_bytes: Annotated[int, Field(ge=1)] = 2**20
    """A larger body is refused with 413."""
    kafka_bootstrap_servers: str | None = None
    """HOST:PORT of some brokers, with commas between; unset: KAFKA_BOOTSTRAP_SERVERS. KAFKA_* has the rest."""
    callback_topics: Listed[tuple[Annotated[str, Field(min_length=1)], ...]] = CALLBACK_TOPICS
    """Topics that a request may name for its callback, with commas between them; `*` stands for anything. Otherwise who
    can post could write to any topic that the service can."""
    publish_llm_usage_events: bool = True
    """Whether starts, completions and failures are published too, on topics of their own."""
    admin_api_enabled: bool = True
    """Whether /admin and the provider test answer at all."""
    admin_api_key: SecretStr | None = None
    """When set, the provider test wants it as `X-Admin-Api-Key` or as a bearer token; /admin/mock-mode, which tells no
    secret and which suites ask without a key, stays open."""
    host: str = "0.0.0.0"  # noqa: S104 - production's default; a container's only interface
    """Interface to listen on."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """0: any free port."""
    log_level: LogLevel = "INFO"
    """Of the JSON logs on standard error."""
    environment: str = "development"
    """Shown by /healthz. In production callbacks go to Kafka, or the service does not start."""

    @property
    def in_production(self) -> bool:
        """Whether others rely on this service."""
        return counts_as_production(self.environment)

    @field_validator("default_llm_provider")
    @classmethod
    def _is_not_switched_off(cls, provider: Provider, info: ValidationInfo) -> Provider:
        if info.data.get(f"{provider}_enabled") is False:
            raise ValueError(f"is {provider}, which {variable_that_enables(provider)} switches off; name another")
        return provider

    @field_validator("queue_processing_timeout_seconds")
    @classmethod
    def _outlives_a_call(cls, attempt_s: float, info: ValidationInfo) -> float:
        call_s = info.data.get("llm_total_timeout_seconds")
        if call_s is not None and call_s > attempt_s:
            raise ValueError(f"must be no less than llm_total_timeout_seconds, which is {call_s:g}")
        return attempt_s

    def admin_key(self) -> str:
        """Return the admin key; empty when there is none. Compose files export a variable that is not set as empty."""
        return "" if self.admin_api_key is None else self.admin_api_key.get_secret_value()


def _prefixed_or_bare(name: str) -> AliasChoices:
    return AliasChoices(ENVIRONMENT_PREFIX + name, name)


class LpsEnvironment(BaseSettings, LpsSettings):
    """The same settings, from `LLM_PROVIDER_SERVICE_*`; `ENVIRONMENT` and keys may be unprefixed, as in production."""

    # A deployment exports the variables of many services; those that are not ours are not our mistake.
    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    openai_api_key: SecretStr = Field(default=SecretStr(""), validation_alias=_prefixed_or_bare("OPENAI_API_KEY"))
    anthropic_api_key: SecretStr = Field(default=SecretStr(""), validation_alias=_prefixed_or_bare("ANTHROPIC_API_KEY"))
    google_api_key: SecretStr = Field(default=SecretStr(""), validation_alias=_prefixed_or_bare("GOOGLE_API_KEY"))
    openrouter_api_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=_prefixed_or_bare("OPENROUTER_API_KEY")
    )


def settings_from_environment(**given: object) -> LpsSettings:
    """Read the process environment once; what is given counts instead. Raises BadInput naming the variable."""
    given.setdefault("environment", environment_name(os.environ, ENVIRONMENT_PREFIX))
    read = read_environment(LpsEnvironment, **given)
    settings = LpsSettings.model_validate(read.model_dump())
    if "redis_url" in read.model_fields_set and "queue_backend" not in read.model_fields_set:
        # Who says where Redis is wants it: production has no other queue.
        return settings.model_copy(update={"queue_backend": QueueBackend.REDIS})
    return settings
