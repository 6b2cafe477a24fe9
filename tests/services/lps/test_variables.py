"""Every variable that production's LPS has is honoured, refused or named. The names are written down by hand."""

from __future__ import annotations

import logging

import pytest

from cj_pipeline.contracts.enums import QueueBackend
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.services.lps.settings import LpsSettings, settings_from_environment
from cj_pipeline.services.lps.variables import not_read, refuse_what_is_not_done, warn_of_what_is_not_read

PREFIX = "LLM_PROVIDER_SERVICE_"

_HONOURED = """
    PORT HOST LOG_LEVEL REDIS_URL KAFKA_BOOTSTRAP_SERVERS DEFAULT_LLM_PROVIDER
    OPENAI_DEFAULT_MODEL ANTHROPIC_DEFAULT_MODEL GOOGLE_DEFAULT_MODEL OPENROUTER_DEFAULT_MODEL
    OPENAI_API_KEY ANTHROPIC_API_KEY GOOGLE_API_KEY OPENROUTER_API_KEY
    OPENAI_BASE_URL ANTHROPIC_BASE_URL OPENROUTER_BASE_URL
    OPENAI_ENABLED ANTHROPIC_ENABLED GOOGLE_ENABLED OPENROUTER_ENABLED
    LLM_DEFAULT_TEMPERATURE LLM_DEFAULT_MAX_TOKENS LLM_MAX_CONCURRENT_REQUESTS
    ENABLE_PROMPT_CACHING PROMPT_CACHE_TTL_SECONDS USE_EXTENDED_TTL_FOR_SERVICE_CONSTANTS
    PUBLISH_LLM_USAGE_EVENTS ADMIN_API_ENABLED ADMIN_API_KEY CIRCUIT_BREAKER_ENABLED
    QUEUE_PROCESSING_MODE BATCH_API_MODE SERIAL_BUNDLE_MAX_REQUESTS_PER_CALL QUEUE_MAX_SIZE QUEUE_MAX_MEMORY_MB
    QUEUE_HIGH_WATERMARK QUEUE_LOW_WATERMARK QUEUE_REQUEST_TTL_HOURS QUEUE_MAX_RETRIES
    LLM_CIRCUIT_BREAKER_FAILURE_THRESHOLD LLM_CIRCUIT_BREAKER_RECOVERY_TIMEOUT LLM_CIRCUIT_BREAKER_SUCCESS_THRESHOLD
    USE_MOCK_LLM ALLOW_MOCK_PROVIDER MOCK_MODE MOCK_PROVIDER_SEED MOCK_LATENCY_MS MOCK_LATENCY_JITTER_MS
    MOCK_ERROR_RATE MOCK_ERROR_CODES MOCK_ERROR_BURST_RATE MOCK_ERROR_BURST_LENGTH MOCK_CACHE_ENABLED
    MOCK_CACHE_HIT_RATE MOCK_TOKENIZER MOCK_TOKENS_PER_WORD MOCK_OUTCOME_MODE MOCK_CONFIDENCE_BASE
    MOCK_CONFIDENCE_JITTER MOCK_STREAMING_METADATA
"""
REFUSED = ("ADMIN_ALLOWED_IPS", "INTERNAL_API_KEY", "COST_LIMIT_USD_PER_DAY", "COST_ALERT_THRESHOLD_USD")
_NAMED = """
    ENABLE_COST_TRACKING LLM_REQUEST_TIMEOUT OPENAI_ORG_ID QUEUE_POLL_INTERVAL_SECONDS RECORD_LLM_RESPONSES
    PROVIDER_SELECTION_STRATEGY PROVIDER_PRIORITY_ORDER ROUTING_RULES ROUTING_RULES_ENABLED
    PII_DETECTION_ENABLED ENABLE_REQUEST_SANITIZATION ENABLE_RESPONSE_FILTERING AUDIT_LOG_ENABLED
    KAFKA_CIRCUIT_BREAKER_FAILURE_THRESHOLD KAFKA_CIRCUIT_BREAKER_RECOVERY_TIMEOUT
    KAFKA_CIRCUIT_BREAKER_SUCCESS_THRESHOLD KAFKA_FALLBACK_QUEUE_SIZE
    ACTIVE_MODEL_FAMILIES FLAG_NEW_MODEL_FAMILIES CONFIG_SOURCE CONFIG_REFRESH_INTERVAL ENABLE_DYNAMIC_CONFIG
    DB_PASSWORD GOOGLE_PROJECT_ID INTERNAL_MODEL_ENABLED INTERNAL_MODEL_NAME INTERNAL_MODEL_TYPE
    INTERNAL_MODEL_BASE_URL INTERNAL_MODEL_API_KEY INTERNAL_MODEL_GPU_LAYERS LOCAL_LLM_ENABLED LOCAL_LLM_URL
    PROVIDER_AUTO_DISABLE_ON_ERRORS PROVIDER_ERROR_THRESHOLD_FOR_DISABLE PROVIDER_HEALTH_CHECK_INTERVAL
    PROVIDER_HEALTH_CHECK_TIMEOUT PUBLISH_DETAILED_METRICS SERVICE_NAME USE_MANIFEST_MODEL_SELECTION
"""
HONOURED, NAMED = _HONOURED.split(), _NAMED.split()


def test_the_lists_have_every_name_once() -> None:
    names = [*HONOURED, *REFUSED, *NAMED]
    assert len(set(names)) == len(names) >= 103


@pytest.mark.parametrize("name", HONOURED)
def test_an_honoured_variable_is_a_setting_and_not_named(name: str) -> None:
    assert name.lower() in LpsSettings.model_fields
    assert not_read({PREFIX + name: "1"}) == {}


@pytest.mark.parametrize("name", [*NAMED, *REFUSED])
def test_any_other_is_named_with_what_is_there_instead(name: str) -> None:
    hint = not_read({PREFIX + name: "1"})[PREFIX + name]
    assert hint
    assert not hint.startswith("did you mean")


@pytest.mark.parametrize("name", REFUSED)
def test_a_promise_that_is_not_kept_here_keeps_the_service_from_starting(name: str) -> None:
    with pytest.raises(BadInput, match="is not done here") as raised:
        refuse_what_is_not_done(LpsSettings(), {PREFIX + name: "10"})
    assert raised.value.field == PREFIX + name
    refuse_what_is_not_done(LpsSettings(), {PREFIX + name: " "})  # how compose exports what is not set


@pytest.mark.parametrize("name", NAMED)
def test_what_is_only_named_does_not(name: str) -> None:
    refuse_what_is_not_done(LpsSettings(), {PREFIX + name: "1"})


def test_a_limit_on_spending_is_no_matter_where_the_mock_answers() -> None:
    environment = {PREFIX + "COST_LIMIT_USD_PER_DAY": "10"}
    refuse_what_is_not_done(LpsSettings(use_mock_llm=True), environment)
    with pytest.raises(BadInput):
        refuse_what_is_not_done(LpsSettings(use_mock_llm=True), environment | {PREFIX + "INTERNAL_API_KEY": "k"})


def test_one_warning_names_all_with_the_nearest_name_of_a_misspelt_one(caplog: pytest.LogCaptureFixture) -> None:
    environment = {PREFIX + "USE_MOCK_LMM": "secret", PREFIX + "AUDIT_LOG_ENABLED": "secret", PREFIX + "PORT": "1"}
    with caplog.at_level(logging.WARNING):
        warn_of_what_is_not_read(environment)
    (line,) = caplog.messages
    assert "2 variables are set and not read" in line
    assert f"{PREFIX}USE_MOCK_LMM (did you mean {PREFIX}USE_MOCK_LLM?)" in line
    assert f"{PREFIX}AUDIT_LOG_ENABLED (not done here)" in line
    assert "secret" not in line


def test_who_says_where_redis_is_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PREFIX + "QUEUE_BACKEND", raising=False)
    monkeypatch.setenv(PREFIX + "REDIS_URL", "redis://queue:6379/0")
    assert settings_from_environment().queue_backend is QueueBackend.REDIS
    assert settings_from_environment(queue_backend="memory").queue_backend is QueueBackend.MEMORY
    monkeypatch.setenv(PREFIX + "QUEUE_BACKEND", "memory")
    assert settings_from_environment().queue_backend is QueueBackend.MEMORY
