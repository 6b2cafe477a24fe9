"""How one LPS instance is set up: production's names and defaults, as far as they have an effect here.

Here: the settings, given explicitly (`LpsSettings`) or read from the environment (`settings_from_environment`).
Not here: what the mock answers (modes/*.yaml), where the server listens (cli/).

`LpsSettings(...)` never looks at the environment: an embedded stack must not change because a shell exports something.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.errors import BadInput

ENVIRONMENT_PREFIX = "LLM_PROVIDER_SERVICE_"

# 64: production's cap; larger hints of the engine are ignored there.
MAX_BUNDLE = 64


class LpsSettings(BaseModel):
    """Explicit settings of one service. Raises pydantic.ValidationError for a value that cannot be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    use_mock_llm: bool = False
    """The mock answers for every provider, not only for `mock`."""
    allow_mock_provider: bool = True
    """Whether requests may name `mock` when `use_mock_llm` is off."""
    mock_mode: Annotated[str, Field(min_length=1)] = "default"
    """Mode expression that `LlmProviderService.from_settings` loads."""
    mock_provider_seed: int = 42
    queue_processing_mode: QueueProcessingMode = QueueProcessingMode.PER_REQUEST
    serial_bundle_max_requests_per_call: Annotated[int, Field(ge=1, le=MAX_BUNDLE)] = MAX_BUNDLE
    queue_max_size: Annotated[int, Field(ge=1)] = 1000
    """Requests waiting or being answered; one more is refused with 503."""
    queue_max_retries: Annotated[int, Field(ge=0)] = 3
    """Further attempts after a failed one that a retry can help; 3 means at most 4 attempts."""
    admin_api_enabled: bool = True
    environment: str = "development"
    """Shown by /healthz."""

    @field_validator("queue_processing_mode")
    @classmethod
    def _built(cls, mode: QueueProcessingMode) -> QueueProcessingMode:
        if mode is QueueProcessingMode.BATCH_API:
            raise ValueError("batch_api is not built yet; use per_request or serial_bundle")
        return mode


class LpsEnvironment(BaseSettings, LpsSettings):
    """The same settings, from `LLM_PROVIDER_SERVICE_*` and, unprefixed as everywhere in production, `ENVIRONMENT`."""

    # A deployment exports the variables of many services; those that are not ours are not our mistake.
    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="ignore")

    environment: str = Field(default="development", validation_alias="ENVIRONMENT")


def settings_from_environment() -> LpsSettings:
    """Read the process environment once. Raises BadInput naming the variable."""
    try:
        read = LpsEnvironment()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadInput(
            f"{first['msg'].removeprefix('Value error, ')}.",
            path="environment",
            field=ENVIRONMENT_PREFIX + ".".join(str(part) for part in first["loc"]).upper(),
            remedy="Change or unset the variable.",
        ) from None
    return LpsSettings.model_validate(read.model_dump())
