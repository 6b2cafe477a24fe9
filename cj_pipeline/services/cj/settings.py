"""This module holds the settings of one CJ service: production's names and defaults, lower-cased, without their prefix.

They are given explicitly: `CjSettings` never looks at the environment, which environment.py reads.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, field_validator

from cj_pipeline.bt.diagnostics import FlagThresholds
from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_WORDS
from cj_pipeline.contracts.cj_events import (
    ASSESSMENT_RESULT_TOPIC,
    CJ_COMPLETED_TOPIC,
    CJ_FAILED_TOPIC,
    RESOURCE_CONSUMPTION_TOPIC,
)
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from cj_pipeline.contracts.engine_settings import EngineSettings, Pairing
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.environment import LogLevel, counts_as_production, is_development, listed
from cj_pipeline.foundation.names import TOPIC, valid_name

ENVIRONMENT_PREFIX = "CJ_ASSESSMENT_SERVICE_"

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

SYSTEM_PROMPT = (
    "You compare two essays that were written for the same assignment and say which one is better. Judge by the "
    "criteria you are given and by nothing else; where there are none, by how well an essay does what its assignment "
    "asks. Who wrote an essay, its length and the order in which the two are shown do not count. Justify your choice "
    f"in at most {MAX_JUSTIFICATION_WORDS} words and say how confident you are, from 1 to 5."
)


Topic = Annotated[str, AfterValidator(partial(valid_name, rule=TOPIC))]


class JwtAlgorithm(StrEnum):
    """How tokens are signed: by a shared secret, or by a key of which this service has the public half."""

    HS256 = "HS256"
    RS256 = "RS256"
    ES256 = "ES256"


class UnreadTopic(StrEnum):
    """Where a topic begins that this database has never read."""

    EARLIEST = "earliest"
    LATEST = "latest"


class CjSettings(EngineSettings):
    """Explicit settings of one service, the engine's among them. Raises pydantic.ValidationError for a bad value."""

    model_config = ConfigDict(hide_input_in_errors=True)

    database_url: SecretStr = SecretStr("sqlite:///cj_assessment.db")
    """sqlite:///FILE, sqlite:// (in memory) or postgresql://...; a password in it is never shown."""
    database_pool_size: Annotated[int, Field(ge=1)] = 5
    """Connections to PostgreSQL that stay open; SQLite has one."""
    database_max_overflow: Annotated[int, Field(ge=0)] = 5
    """Further ones while all of these are taken."""
    database_pool_pre_ping: bool = True
    """Whether a connection is tried before it is used."""
    database_pool_recycle: Annotated[int, Field(ge=-1)] = -1
    """Seconds after which one is replaced; -1: never."""
    kafka_bootstrap_servers: str | None = None
    """HOST:PORT of some brokers, with commas between; unset: KAFKA_BOOTSTRAP_SERVERS. KAFKA_* has the rest."""
    consumer_group_id_cj: Annotated[str, Field(min_length=1)] = "cj_assessment_consumer_group"
    """What consumers are called at the brokers. Positions are in the database; nothing is committed to the group."""
    producer_client_id_cj: Annotated[str, Field(min_length=1)] | None = None
    """What brokers call this client in their logs and quotas; unset: KAFKA_CLIENT_ID."""
    cj_assessment_request_topic: Topic = ASSESSMENT_REQUEST_TOPIC
    """Where requests are read."""
    cj_assessment_completed_topic: Topic = CJ_COMPLETED_TOPIC
    """Where it is published that a batch is completed."""
    cj_assessment_failed_topic: Topic = CJ_FAILED_TOPIC
    """Where it is published that there is no result."""
    assessment_result_topic: Topic = ASSESSMENT_RESULT_TOPIC
    """Where scores and grades are published."""
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
    llm_provider_callback_topic: Topic = COMPARISON_RESULT_TOPIC
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
    jwt_algorithm: JwtAlgorithm | None = None
    """HS256, RS256 or ES256; unset: what the key that is set is for."""
    jwt_secret_key: SecretStr | None = None
    """Of tokens signed by HS256; never shown."""
    jwt_public_key: str | None = None
    """Of tokens signed by RS256 or ES256 (PEM)."""
    jwt_public_key_path: Path | None = None
    """The file of such a key."""
    jwt_jwks_url: str | None = None
    """Where such keys are published, as a JSON Web Key Set."""
    jwt_audience: str | None = None
    """Tokens are for this audience; unset: for any."""
    jwt_issuer: str | None = None
    """Tokens are from this issuer; unset: from any."""
    internal_api_key: SecretStr | None = None
    """A service that sends it as X-Internal-API-Key may read the admin's endpoints; never shown."""
    environment: str = "development"
    """Shown by /healthz. In production the bus is Kafka and the database PostgreSQL, or the service does not start."""

    @property
    def in_production(self) -> bool:
        """Whether others rely on this service."""
        return counts_as_production(self.environment)

    @property
    def on_a_desk(self) -> bool:
        """Whether it is somebody's own, which nobody else can reach."""
        return is_development(self.environment) and self.host in LOOPBACK

    @property
    def wants_a_token(self) -> bool:
        """Whether there is anything to check one by."""
        return any((self.jwt_secret_key, self.jwt_public_key, self.jwt_public_key_path, self.jwt_jwks_url))

    @property
    def admin_endpoints(self) -> bool:
        """Whether the admin's endpoints answer."""
        return not self.in_production if self.enable_admin_endpoints is None else self.enable_admin_endpoints

    @property
    def published_topics(self) -> tuple[str, ...]:
        """Where events are published."""
        results = (self.assessment_result_topic, self.cj_assessment_completed_topic, self.cj_assessment_failed_topic)
        return (*results, RESOURCE_CONSUMPTION_TOPIC)

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
