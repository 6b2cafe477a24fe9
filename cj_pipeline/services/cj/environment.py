"""This module reads the settings of the CJ service from the environment, under every name that production has for them.

A variable that changes where data goes or what is asked is honoured or refused by its name. The rest is named at start
(`NOT_READ`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote

from pydantic_settings import BaseSettings, SettingsConfigDict

from cj_pipeline.foundation.environment import environment_name, read_environment, unread_variables, warn_of_unread
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.services.cj.settings import ENVIRONMENT_PREFIX, CjSettings

DATABASE_URL = f"{ENVIRONMENT_PREFIX}DATABASE_URL"
KAFKA_SERVERS = f"{ENVIRONMENT_PREFIX}KAFKA_BOOTSTRAP_SERVERS"

ONLY: Mapping[str, str] = {
    "PAIR_MATCHING_STRATEGY": "optimal_graph",
    "PAIR_ORIENTATION_STRATEGY": "fair_complement",
    "LLM_RETRY_EXPONENTIAL_BASE": "2",
}
"""Variables of which one value is done here, without their prefix."""

_OUTBOX = "events wait in the outbox until the bus takes them"
_NOWHERE = "has no effect in production either"
NOT_READ: Mapping[str, str] = {
    "CIRCUIT_BREAKER_ENABLED": "posts to the LPS are repeated as LLM_RETRY_* says, without a breaker",
    "KAFKA_CIRCUIT_BREAKER_FAILURE_THRESHOLD": _OUTBOX,
    "KAFKA_CIRCUIT_BREAKER_RECOVERY_TIMEOUT": _OUTBOX,
    "KAFKA_CIRCUIT_BREAKER_SUCCESS_THRESHOLD": _OUTBOX,
    "KAFKA_FALLBACK_QUEUE_SIZE": _OUTBOX,
    "LLM_RETRY_ON_EXCEPTION_NAMES": "connections, timeouts and passing HTTP statuses are tried again",
    "OUTBOX_MAX_RETRIES": "an event is published until the bus takes it",
    "OUTBOX_ERROR_RETRY_INTERVAL_SECONDS": "OUTBOX_POLL_INTERVAL_SECONDS is that wait",
    "OUTBOX_ENABLE_METRICS": "unpublished events are in the table event_outbox",
    "OUTBOX_ENABLE_WAKE_NOTIFICATIONS": "an event is published as soon as it is written",
    "REDIS_URL": "the database knows what was processed",
    "SERVICE_NAME": "peers know the service by its own name",
    "VERSION": "/healthz tells the program's own",
    "MAX_CONCURRENT_COMPARISONS": _NOWHERE,
    "RETRY_BATCH_PRIORITY": _NOWHERE,
    "MIN_ANCHORS_REQUIRED": _NOWHERE,
    "MAX_HESSIAN_BATCH_SIZE": _NOWHERE,
    "CONFIDENCE_CALCULATION_TIMEOUT": _NOWHERE,
    "MAX_TOKENS_RESPONSE": _NOWHERE,
    "TEMPERATURE": _NOWHERE,
}
"""What is known of production's variables that nothing here reads, without their prefix."""

_DB_PARTS = ("DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD")
_SHARED_DB = ("HULEEDU_DB_USER", "HULEEDU_DB_PASSWORD", "HULEEDU_PROD_DB_HOST", "HULEEDU_PROD_DB_PASSWORD")


class CjEnvironment(BaseSettings, CjSettings):
    """The same settings, from `CJ_ASSESSMENT_SERVICE_*`."""

    # A deployment exports the variables of many services; those that are not ours are not our mistake.
    model_config = SettingsConfigDict(
        # Not decoded: parsed as JSON by force, a list with commas is refused.
        env_prefix=ENVIRONMENT_PREFIX,
        enable_decoding=False,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )


def settings_from_environment(**given: object) -> CjSettings:
    """Read the process environment once; what is given counts instead. Raises BadInput naming the variable."""
    _require_what_is_done(os.environ)
    if "database_url" not in given and (url := database_url(os.environ)) is not None:
        given["database_url"] = url
    given.setdefault("environment", environment_name(os.environ, ENVIRONMENT_PREFIX))
    return CjSettings.model_validate(read_environment(CjEnvironment, **given).model_dump())


def not_read(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of this service that are set and not read, each with a hint; empty for none."""
    return unread_variables(CjEnvironment, _not_read_apart(environment), NOT_READ)


def warn_of_what_is_not_read(environment: Mapping[str, str]) -> None:
    """Log one warning that names every variable of this service that nothing reads."""
    warn_of_unread(CjEnvironment, _not_read_apart(environment), NOT_READ)


def _not_read_apart(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what is read here and is no setting."""
    read = {ENVIRONMENT_PREFIX + name for name in (*ONLY, *_DB_PARTS)}
    return {name: value for name, value in environment.items() if name not in read}


def require_deployed(settings: CjSettings) -> None:
    """Refuse SQLite in production: a file on one machine, which a container loses. Raises BadInput."""
    if settings.in_production and settings.database_url.get_secret_value().startswith("sqlite"):
        raise BadInput(
            f"names no PostgreSQL, and ENVIRONMENT '{settings.environment}' counts as production.",
            path="environment",
            field=DATABASE_URL,
            remedy="Set it to postgresql://USER:PASSWORD@HOST/DATABASE.",
        )


def database_url(environment: Mapping[str, str]) -> str | None:
    """Return the database that the environment names; None where it names none. Raises BadInput for half of a name."""
    for name in (DATABASE_URL, "SERVICE_DATABASE_URL"):
        if environment.get(name):
            return environment[name]
    parts = {name: environment.get(ENVIRONMENT_PREFIX + name, "") for name in _DB_PARTS}
    if any(parts.values()):
        missing = [name for name in _DB_PARTS if not parts[name] and name != "DB_PORT"]
        if missing:
            raise _half_a_database(ENVIRONMENT_PREFIX + missing[0], "is not set, and others of its kind are.")
        user, password = quote(parts["DB_USER"], safe=""), quote(parts["DB_PASSWORD"], safe="")
        place = f"{parts['DB_HOST']}:{parts['DB_PORT'] or 5432}"
        return f"postgresql://{user}:{password}@{place}/{quote(parts['DB_NAME'], safe='')}"
    for name in _SHARED_DB:
        if environment.get(name):
            raise _half_a_database(name, "is set, and says neither port nor name of this service's database.")
    return None


def _half_a_database(variable: str, problem: str) -> BadInput:
    remedy = f"Set {DATABASE_URL} to postgresql://USER:PASSWORD@HOST/DATABASE."
    return BadInput(problem, path="environment", field=variable, remedy=remedy)


def _require_what_is_done(environment: Mapping[str, str]) -> None:
    for name, value in ONLY.items():
        asked = environment.get(ENVIRONMENT_PREFIX + name, value)
        if asked not in {value, f"{value}.0"}:
            raise BadInput(
                f"is not '{value}', and nothing else is done here.",
                path="environment",
                field=ENVIRONMENT_PREFIX + name,
                remedy="Change or unset the variable.",
            )
