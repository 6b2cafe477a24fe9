"""How one CJ service is set up: production's names and defaults, lower-cased and without their prefix.

Here: the settings, given explicitly (`CjSettings`) or read from the environment (`settings_from_environment`), and
what of them the engine gets. Not here: what the engine does with them (contracts/engine_settings.py).

`CjSettings(...)` never looks at the environment. A variable of production's that does nothing there or here is not a
setting here; it is ignored like the variables of other services.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from cj_pipeline.bt.diagnostics import FlagThresholds
from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_WORDS
from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.contracts.enums import LLMBatchingMode, Provider
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.environment import Listed, LogLevel, read_environment

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


class CjSettings(BaseModel):
    """Explicit settings of one service. Raises pydantic.ValidationError for a value that cannot be used."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    database_url: SecretStr = SecretStr("sqlite:///cj_assessment.db")
    """sqlite:///FILE, sqlite:// (in memory) or postgresql://...; a password in it is never shown."""
    http_port: Annotated[int, Field(ge=0, le=65_535)] = 9090
    """Of /healthz and /metrics. 0: any free port."""
    host: str = "0.0.0.0"  # noqa: S104 - production's default; a container's only interface
    """Interface to listen on."""
    log_level: LogLevel = "INFO"
    """Of the JSON logs on standard error."""

    max_pairwise_comparisons: Annotated[int, Field(gt=0)] = 120
    """Budget cap; a request can lower it."""
    min_comparisons_for_stability_check: Annotated[int, Field(ge=0)] = 12
    """Successful comparisons before a batch may end for being stable."""
    score_stability_threshold: Annotated[float, Field(ge=0.0)] = 0.025
    """Largest movement of a score, logits, that counts as stable."""
    min_success_rate_threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.8
    """Below it a batch fails instead of being published."""
    min_resampling_net_size: Annotated[int, Field(ge=0)] = 3
    """A net of at most so many essays is small."""
    max_resampling_passes_for_small_net: Annotated[int, Field(ge=0)] = 4
    """Passes over the covered pairs of a small net."""
    max_resampling_passes_for_regular_batch: Annotated[int, Field(ge=0)] = 1
    """Passes over those of any other."""
    bt_mean_se_warn_threshold: Annotated[float, Field(ge=0.0)] = 0.4
    """Mean standard error, logits, above which a batch counts as inflated."""
    bt_max_se_warn_threshold: Annotated[float, Field(ge=0.0)] = 0.8
    """Largest one, likewise."""
    bt_min_mean_comparisons_per_item: Annotated[float, Field(ge=0.0)] = 1.0
    """Comparisons per essay below which coverage counts as sparse."""
    pair_generation_seed: int | None = None
    """Set: a batch id gets the same pairs in every database. Unset: each request has pairs of its own."""
    matching_weight_comparison_count: Annotated[float, Field(ge=0.0)] = 1.0
    """How much a matching evens out comparison counts."""
    matching_weight_bt_proximity: Annotated[float, Field(ge=0.0)] = 0.5
    """How much it prefers neighbours on the scale."""
    max_iterations: Annotated[int, Field(ge=1)] = 10
    """No limit; with 1 the hint comparison_iteration is left out."""
    llm_batching_mode: LLMBatchingMode = LLMBatchingMode.SERIAL_BUNDLE
    """per_request, serial_bundle or provider_batch_api."""
    llm_batch_api_allowed_providers: Listed[tuple[Provider, ...]] = (Provider.OPENAI, Provider.ANTHROPIC)
    """Providers that provider_batch_api may be asked of; empty for all."""
    enable_llm_batching_metadata_hints: bool = False
    """Whether requests carry hints for the LPS's bundles."""
    enable_failed_comparison_retry: bool = True
    """Whether failed comparisons are asked again."""
    failed_comparison_retry_threshold: Annotated[int, Field(ge=1)] = 20
    """Failures that are worth a retry wave of their own."""
    max_retry_attempts: Annotated[int, Field(ge=0)] = 3
    """Times that a failed comparison is asked again."""
    retry_batch_size: Annotated[int, Field(ge=1)] = 50
    """Comparisons in a retry wave, at most."""

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

    def engine(self) -> EngineSettings:
        """What the engine gets of these."""
        shared = EngineSettings.model_fields.keys() & CjSettings.model_fields.keys() - {"pair_generation_seed"}
        return EngineSettings.model_validate(self.model_dump(include=shared) | self._seed())

    def _seed(self) -> dict[str, int]:
        return {} if self.pair_generation_seed is None else {"pair_generation_seed": self.pair_generation_seed}

    def flag_thresholds(self) -> FlagThresholds:
        """Where a batch's quality flags are raised."""
        return FlagThresholds(
            mean_se=self.bt_mean_se_warn_threshold,
            max_se=self.bt_max_se_warn_threshold,
            mean_comparisons_per_item=self.bt_min_mean_comparisons_per_item,
        )


class CjEnvironment(BaseSettings, CjSettings):
    """The same settings, from `CJ_ASSESSMENT_SERVICE_*`; `ENVIRONMENT` is unprefixed, as in production."""

    # A deployment exports the variables of many services; those that are not ours are not our mistake.
    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    environment: str = Field(default="development", validation_alias="ENVIRONMENT")


def settings_from_environment(**given: object) -> CjSettings:
    """Read the process environment once; what is given counts instead. Raises BadInput naming the variable."""
    return CjSettings.model_validate(read_environment(CjEnvironment, **given).model_dump())
