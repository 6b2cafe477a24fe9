"""This module says what becomes of production's variables that are no setting here: refused by name, or named at start.

Names are without the prefix. What changes cost, safety or where data goes is a setting, or keeps the service from
starting; for the rest one warning says what is there instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cj_pipeline.foundation.environment import unread_variables, warn_of_unread
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.services.lps.settings import ENVIRONMENT_PREFIX, LpsEnvironment, LpsSettings

KAFKA_SERVERS: Final = f"{ENVIRONMENT_PREFIX}KAFKA_BOOTSTRAP_SERVERS"

REFUSED_ACCESS: Final[Mapping[str, str]] = {
    "ADMIN_ALLOWED_IPS": "set ADMIN_API_KEY, or close /admin in the network",
    "INTERNAL_API_KEY": "close the service to others in the network",
}
"""Promises of who may ask, with what to do instead: nobody is kept out by them."""

REFUSED_SPENDING: Final[Mapping[str, str]] = {
    "COST_LIMIT_USD_PER_DAY": "set a limit at the provider, or record with --budget-usd",
    "COST_ALERT_THRESHOLD_USD": "let an alert watch llm_provider_cost_dollars_total",
}
"""Promises about spending, likewise. The mock costs nothing, so under USE_MOCK_LLM they are only named."""

_BY_REQUEST = "each request names its provider"
_OUTBOX = "callbacks wait in the outbox until the bus takes them"
_BREAKERS = "LLM_CIRCUIT_BREAKER_* leave a provider alone that fails"
_MANIFEST = "MODEL_MANIFEST_PATH names a team's own models"
_LOCAL = "OPENAI_BASE_URL names a model on this machine"
_NOT_DONE = "not done here"
_UNUSED = "nothing here depends on it"

NOT_READ: Final[Mapping[str, str]] = {
    "ENABLE_COST_TRACKING": "costs are always counted",
    "LLM_REQUEST_TIMEOUT": "LLM_TOTAL_TIMEOUT_SECONDS is that limit",
    "OPENAI_ORG_ID": 'OPENAI_EXTRA_HEADERS={"OpenAI-Organization": "..."} sends it',
    "QUEUE_POLL_INTERVAL_SECONDS": "nothing is polled, a request is taken as soon as it waits",
    "RECORD_LLM_RESPONSES": "KEEP_REPLIES_DIR keeps what judges reply",
    "PROVIDER_SELECTION_STRATEGY": _BY_REQUEST,
    "PROVIDER_PRIORITY_ORDER": _BY_REQUEST,
    "ROUTING_RULES": _BY_REQUEST,
    "ROUTING_RULES_ENABLED": _BY_REQUEST,
    "PII_DETECTION_ENABLED": _NOT_DONE,
    "ENABLE_REQUEST_SANITIZATION": _NOT_DONE,
    "ENABLE_RESPONSE_FILTERING": _NOT_DONE,
    "AUDIT_LOG_ENABLED": _NOT_DONE,
    "KAFKA_CIRCUIT_BREAKER_FAILURE_THRESHOLD": _OUTBOX,
    "KAFKA_CIRCUIT_BREAKER_RECOVERY_TIMEOUT": _OUTBOX,
    "KAFKA_CIRCUIT_BREAKER_SUCCESS_THRESHOLD": _OUTBOX,
    "KAFKA_FALLBACK_QUEUE_SIZE": _OUTBOX,
    "ACTIVE_MODEL_FAMILIES": _MANIFEST,
    "FLAG_NEW_MODEL_FAMILIES": _MANIFEST,
    "USE_MANIFEST_MODEL_SELECTION": _MANIFEST,
    "CONFIG_SOURCE": "settings are read once, at start",
    "CONFIG_REFRESH_INTERVAL": "settings are read once, at start",
    "ENABLE_DYNAMIC_CONFIG": "settings are read once, at start",
    "DB_PASSWORD": "there is no database",
    "GOOGLE_PROJECT_ID": "the key is enough",
    "INTERNAL_MODEL_ENABLED": _LOCAL,
    "INTERNAL_MODEL_NAME": _LOCAL,
    "INTERNAL_MODEL_TYPE": _LOCAL,
    "INTERNAL_MODEL_BASE_URL": _LOCAL,
    "INTERNAL_MODEL_API_KEY": _LOCAL,
    "INTERNAL_MODEL_GPU_LAYERS": _LOCAL,
    "LOCAL_LLM_ENABLED": _LOCAL,
    "LOCAL_LLM_URL": _LOCAL,
    "PROVIDER_AUTO_DISABLE_ON_ERRORS": _BREAKERS,
    "PROVIDER_ERROR_THRESHOLD_FOR_DISABLE": _BREAKERS,
    "PROVIDER_HEALTH_CHECK_INTERVAL": _BREAKERS,
    "PROVIDER_HEALTH_CHECK_TIMEOUT": _BREAKERS,
    "PUBLISH_DETAILED_METRICS": "all series are always there",
    "SERVICE_NAME": "peers know the service by its own name",
    **REFUSED_ACCESS,
    **REFUSED_SPENDING,
}
"""What is there instead of each variable that nothing reads."""


def not_read(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of this service that are set and not read, each with a hint; empty for none."""
    return unread_variables(LpsEnvironment, environment, NOT_READ)


def warn_of_what_is_not_read(environment: Mapping[str, str]) -> None:
    """Log one warning that names every variable of this service that nothing reads."""
    warn_of_unread(LpsEnvironment, environment, NOT_READ)


def refuse_what_is_not_done(settings: LpsSettings, environment: Mapping[str, str]) -> None:
    """Refuse a variable that promises what is not done here. Compose files export one that is not set as empty.

    Raises BadInput naming the variable.
    """
    refused = REFUSED_ACCESS if settings.use_mock_llm else {**REFUSED_ACCESS, **REFUSED_SPENDING}
    for name, instead in refused.items():
        if environment.get(ENVIRONMENT_PREFIX + name, "").strip():
            raise BadInput(
                "is not done here, and starting without it would break what it promises.",
                path="environment",
                field=ENVIRONMENT_PREFIX + name,
                remedy=f"Unset it, and {instead}.",
            )
