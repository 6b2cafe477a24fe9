"""This module holds the settings of one CJ service: production's names and defaults, lower-cased, without their prefix.

They are given explicitly (`CjSettings`, which never looks at the environment) or read (`settings_from_environment`). A
variable of production's that does nothing there or here is not a setting here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cj_pipeline.bt.diagnostics import FlagThresholds
from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_WORDS
from cj_pipeline.contracts.engine_settings import EngineSettings, Pairing
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.environment import LogLevel, listed, read_environment

ENVIRONMENT_PREFIX = "CJ_ASSESSMENT_SERVICE_"

SYSTEM_PROMPT = (
    "You compare two essays that were written for the same assignment and say which one is better. Judge by the "
    "criteria you are given and by nothing else; where there are none, by how well an essay does what its assignment "
    "asks. Who wrote an essay, its length and the order in which the two are shown do not count. Justify your choice "
    f"in at most {MAX_JUSTIFICATION_WORDS} words and say how confident you are, from 1 to 5."
)


class UnreadTopic(StrEnum):
    """Where a topic begins that this database has never read."""

    EARLIEST = "earliest"
    LATEST = "latest"


class CjSettings(EngineSettings):
    """Explicit settings of one service, the engine's among them. Raises pydantic.ValidationError for a bad value."""

    model_config = ConfigDict(hide_input_in_errors=True)

    database_url: SecretStr = SecretStr("sqlite:///cj_assessment.db")
    """sqlite:///FILE, sqlite:// (in memory) or postgresql://...; a password in it is never shown."""
    http_port: Annotated[int, Field(ge=0, le=65_535)] = 9090
    """Of /healthz and /metrics. 0: any free port."""
    host: str = "0.0.0.0"  # noqa: S104 - production's default; a container's only interface
    """Interface to listen on."""
    log_level: LogLevel = "INFO"
    """Of the JSON logs on standard error."""

    bt_mean_se_warn_threshold: Annotated[float, Field(ge=0.0)] = 0.4
    """Mean standard error, logits, above which a batch counts as inflated."""
    bt_max_se_warn_threshold: Annotated[float, Field(ge=0.0)] = 0.8
    """Largest standard error above which it does."""
    bt_min_mean_comparisons_per_item: Annotated[float, Field(ge=0.0)] = 1.0
    """Comparisons per essay below which coverage counts as sparse."""

    default_llm_provider: Provider = Provider.OPENAI
    """Where a request names none."""
    default_llm_model: Annotated[str, Field(min_length=1)] = "gpt-5.1"
    """Where a request names none."""
    default_llm_temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.1
    """Where a request names none; 0.0 of a request is 0.0."""
    system_prompt: Annotated[str, Field(min_length=1)] = SYSTEM_PROMPT
    """What the judge is told it is, unless a request overrides it."""
    llm_provider_service_url: str = "http://llm_provider_service:8080/api/v1"
    """The LPS, to whose /comparison requests are posted."""
    llm_provider_callback_topic: Annotated[str, Field(min_length=1)] = COMPARISON_RESULT_TOPIC
    """Where the LPS's callbacks are read."""
    unread_topics_begin: UnreadTopic = UnreadTopic.EARLIEST
    """Where a topic begins that this database has never read: earliest, or latest, which leaves out what a shared topic
    already holds. Counts once; from then on the database knows its positions."""
    llm_submission_timeout_seconds: Annotated[float, Field(gt=0.0)] = 60.0
    """Of one post to the LPS."""
    default_batch_size: Annotated[int, Field(ge=1)] = 50
    """Comparisons that are sent between two commits."""
    llm_retry_enabled: bool = True
    """Whether a post that failed in passing is made again."""
    llm_retry_attempts: Annotated[int, Field(ge=1)] = 3
    """Posts in all."""
    llm_retry_wait_min_seconds: Annotated[float, Field(ge=0.0)] = 1.0
    """Before the second; doubled for each further one."""
    llm_retry_wait_max_seconds: Annotated[float, Field(ge=0.0)] = 30.0
    """The backoff never grows beyond this; a Retry-After may."""

    content_service_url: str = "http://content_service:8000/v1/content"
    """Stored texts are got from here, by their id."""
    llm_request_timeout_seconds: Annotated[float, Field(gt=0.0)] = 30.0
    """Of one call of the content service, whatever the name says."""

    batch_timeout_hours: Annotated[float, Field(gt=0.0)] = 4.0
    """A batch that is silent for so long is stuck."""
    batch_monitor_interval_minutes: Annotated[float, Field(gt=0.0)] = 5.0
    """How often stuck batches, abandoned waves and unpublished events are looked for."""
    outbox_poll_interval_seconds: Annotated[float, Field(gt=0.0)] = 5.0
    """Before an event that the bus did not take is published again; while all are taken nothing is polled."""
    outbox_batch_size: Annotated[int, Field(ge=1)] = 100
    """Events published between two commits."""
    submission_lease_seconds: Annotated[float, Field(gt=0.0)] = 120.0
    """A wave whose sender is silent for so long is taken over by another replica."""
    enable_admin_endpoints: bool | None = None
    """Whether instructions and anchors can be registered over HTTP; unset: everywhere but in production."""
    environment: str = "development"
    """Shown by /healthz."""

    @property
    def admin_endpoints(self) -> bool:
        """Whether the admin's endpoints answer."""
        return self.environment != "production" if self.enable_admin_endpoints is None else self.enable_admin_endpoints

    @field_validator("pairing")
    @classmethod
    def _without_a_plan(cls, pairing: Pairing) -> Pairing:
        if pairing is Pairing.RECORDED:
            raise ValueError("'recorded' follows the pairs of a trace, and a service has none; use 'balanced'")
        return pairing

    @field_validator("llm_batch_api_allowed_providers", "metadata_hints", mode="before")
    @classmethod
    def _from_a_variable(cls, values: object) -> object:
        return listed(values)

    def engine(self) -> EngineSettings:
        """Return what the engine gets of these."""
        return EngineSettings.model_validate(self.model_dump(include=set(EngineSettings.model_fields)))

    def flag_thresholds(self) -> FlagThresholds:
        """Return where a batch's quality flags are raised."""
        return FlagThresholds(
            mean_se=self.bt_mean_se_warn_threshold,
            max_se=self.bt_max_se_warn_threshold,
            mean_comparisons_per_item=self.bt_min_mean_comparisons_per_item,
        )


class CjEnvironment(BaseSettings, CjSettings):
    """The same settings, from `CJ_ASSESSMENT_SERVICE_*`; `ENVIRONMENT` is unprefixed, as in production."""

    # A deployment exports the variables of many services; those that are not ours are not our mistake.
    model_config = SettingsConfigDict(
        # Not decoded: parsed as JSON by force, a list with commas is refused.
        env_prefix=ENVIRONMENT_PREFIX,
        enable_decoding=False,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    environment: str = Field(default="development", validation_alias="ENVIRONMENT")


def settings_from_environment(**given: object) -> CjSettings:
    """Read the process environment once; what is given counts instead. Raises BadInput naming the variable."""
    return CjSettings.model_validate(read_environment(CjEnvironment, **given).model_dump())
