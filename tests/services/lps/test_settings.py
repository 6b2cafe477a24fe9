"""Settings: production's names and defaults, read from where production reads them, and none without an effect."""

from __future__ import annotations

import re

import pytest
from pydantic import SecretStr, ValidationError

from cj_pipeline.contracts.enums import BatchApiMode, Provider, QueueBackend, QueueProcessingMode
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.services.lps.settings import LpsSettings, settings_from_environment
from tests.house import REPOSITORY

PREFIX = "LLM_PROVIDER_SERVICE_"

# (variable without its prefix, production's default, another value as a shell gives it, what that is)
PRODUCTIONS = [
    ("PORT", 8080, "9000", 9000),
    ("HOST", "0.0.0.0", "127.0.0.1", "127.0.0.1"),  # noqa: S104
    ("LOG_LEVEL", "INFO", "DEBUG", "DEBUG"),
    ("REDIS_URL", SecretStr("redis://localhost:6379/0"), "redis://r:1/2", SecretStr("redis://r:1/2")),
    ("DEFAULT_LLM_PROVIDER", Provider.OPENAI, "mock", Provider.MOCK),
    ("OPENAI_DEFAULT_MODEL", "gpt-5.1", "m", "m"),
    ("ANTHROPIC_DEFAULT_MODEL", "claude-haiku-4-5-20251001", "m", "m"),
    ("GOOGLE_DEFAULT_MODEL", "gemini-2.5-flash-preview-05-20", "m", "m"),
    ("OPENROUTER_DEFAULT_MODEL", "anthropic/claude-haiku-4-5-20251001", "m", "m"),
    ("ANTHROPIC_ENABLED", True, "false", False),
    ("GOOGLE_ENABLED", True, "false", False),
    ("OPENROUTER_ENABLED", True, "false", False),
    ("OPENAI_API_KEY", SecretStr(""), "k", SecretStr("k")),
    ("ANTHROPIC_API_KEY", SecretStr(""), "k", SecretStr("k")),
    ("GOOGLE_API_KEY", SecretStr(""), "k", SecretStr("k")),
    ("OPENROUTER_API_KEY", SecretStr(""), "k", SecretStr("k")),
    ("ANTHROPIC_BASE_URL", None, "http://a/", "http://a"),
    ("OPENROUTER_BASE_URL", "https://openrouter.ai/api/v1", "http://o", "http://o"),
    ("LLM_DEFAULT_TEMPERATURE", 0.7, "0", 0.0),
    ("LLM_DEFAULT_MAX_TOKENS", 4096, "64", 64),
    ("ENABLE_PROMPT_CACHING", True, "false", False),
    ("PROMPT_CACHE_TTL_SECONDS", 3600, "300", 300),
    ("USE_EXTENDED_TTL_FOR_SERVICE_CONSTANTS", False, "true", True),
    ("PUBLISH_LLM_USAGE_EVENTS", True, "false", False),
    ("ADMIN_API_ENABLED", True, "false", False),
    ("ADMIN_API_KEY", None, "k", SecretStr("k")),
    ("CIRCUIT_BREAKER_ENABLED", True, "0", False),
    ("LLM_CIRCUIT_BREAKER_FAILURE_THRESHOLD", 3, "5", 5),
    ("LLM_CIRCUIT_BREAKER_RECOVERY_TIMEOUT", 120, "1.5", 1.5),
    ("LLM_CIRCUIT_BREAKER_SUCCESS_THRESHOLD", 2, "1", 1),
    ("QUEUE_PROCESSING_MODE", QueueProcessingMode.PER_REQUEST, "batch_api", QueueProcessingMode.BATCH_API),
    ("BATCH_API_MODE", BatchApiMode.DISABLED, "nightly", BatchApiMode.NIGHTLY),
    ("SERIAL_BUNDLE_MAX_REQUESTS_PER_CALL", 64, "8", 8),
    ("QUEUE_MAX_SIZE", 1000, "10", 10),
    ("QUEUE_MAX_MEMORY_MB", 100, "1.5", 1.5),
    ("QUEUE_HIGH_WATERMARK", 0.8, "0.9", 0.9),
    ("QUEUE_LOW_WATERMARK", 0.6, "0.1", 0.1),
    ("QUEUE_REQUEST_TTL_HOURS", 4, "1", 1.0),
    ("QUEUE_MAX_RETRIES", 3, "0", 0),
    ("USE_MOCK_LLM", False, "true", True),
    ("ALLOW_MOCK_PROVIDER", True, "false", False),
    ("MOCK_MODE", "default", "cj_generic_batch", "cj_generic_batch"),
    ("MOCK_PROVIDER_SEED", 42, "7", 7),
    # Production's defaults of these are the default mode's numbers; unset, the mode says.
    ("MOCK_LATENCY_MS", None, "20", 20.0),
    ("MOCK_LATENCY_JITTER_MS", None, "5", 5.0),
    ("MOCK_ERROR_RATE", None, "0.5", 0.5),
    ("MOCK_ERROR_CODES", None, "429,503", (429, 503)),
    ("MOCK_ERROR_BURST_RATE", None, "0.1", 0.1),
    ("MOCK_ERROR_BURST_LENGTH", None, "3", 3.0),
    ("MOCK_CACHE_ENABLED", None, "true", True),
    ("MOCK_CACHE_HIT_RATE", None, "0.25", 0.25),
    ("MOCK_TOKENIZER", None, "tiktoken", "tiktoken"),
    ("MOCK_TOKENS_PER_WORD", None, "1.3", 1.3),
    ("MOCK_OUTCOME_MODE", None, "heuristic", "heuristic"),
    ("MOCK_CONFIDENCE_BASE", None, "3", 3.0),
    ("MOCK_CONFIDENCE_JITTER", None, "0", 0.0),
    ("MOCK_STREAMING_METADATA", None, "true", True),
]


@pytest.fixture(autouse=True)
def nothing_exported(monkeypatch):
    """Whatever the shell that runs the tests exports."""
    for name in ("ENVIRONMENT", "ENV_TYPE"):
        monkeypatch.delenv(name, raising=False)
    for variable, *_ in PRODUCTIONS:
        monkeypatch.delenv(PREFIX + variable, raising=False)
        if variable.endswith("_API_KEY"):
            monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(("variable", "default", "exported", "value"), PRODUCTIONS)
def test_a_setting_has_productions_name_and_default(variable, default, exported, value, monkeypatch):
    field = variable.lower()
    assert getattr(LpsSettings(), field) == default
    assert getattr(settings_from_environment(), field) == default
    monkeypatch.setenv(PREFIX + variable, exported)
    assert getattr(settings_from_environment(), field) == value


def test_without_a_word_requests_wait_in_memory_under_no_name():
    settings = settings_from_environment()
    assert type(settings) is LpsSettings
    assert settings == LpsSettings()
    assert (settings.queue_backend, settings.environment) == (QueueBackend.MEMORY, "development")


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "OPENROUTER_API_KEY"])
def test_keys_may_be_bare_and_the_prefixed_one_counts(variable, monkeypatch):
    monkeypatch.setenv(variable, "bare")
    assert getattr(settings_from_environment(), variable.lower()) == SecretStr("bare")
    monkeypatch.setenv(PREFIX + variable, "prefixed")
    assert getattr(settings_from_environment(), variable.lower()) == SecretStr("prefixed")


def test_the_environment_is_unprefixed_and_everything_else_is_not(monkeypatch):
    monkeypatch.setenv("ENVIRONMENT", "ci")
    monkeypatch.setenv(PREFIX + "ENVIRONMENT", "elsewhere")
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("USE_MOCK_LLM", "true")
    settings = settings_from_environment()
    assert (settings.environment, settings.port, settings.use_mock_llm) == ("ci", 8080, False)


@pytest.mark.parametrize("variable", ["ENVIRONMENT", PREFIX + "ENVIRONMENT", "ENV_TYPE"])
def test_production_is_known_by_each_of_its_names(variable, monkeypatch):
    assert not settings_from_environment().in_production
    monkeypatch.setenv(variable, "production")
    assert settings_from_environment().in_production


def test_variables_of_other_services_are_no_mistake(monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_PORT", "x")
    assert settings_from_environment() == LpsSettings()


def test_explicit_settings_do_not_read_the_environment(monkeypatch):
    monkeypatch.setenv(PREFIX + "MOCK_PROVIDER_SEED", "7")
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert LpsSettings() == LpsSettings(mock_provider_seed=42, environment="development", openai_api_key=SecretStr(""))


def test_a_setting_that_does_not_exist_is_refused():
    with pytest.raises(ValidationError, match="queue_max_sise"):
        LpsSettings(queue_max_sise=1)


def test_what_is_given_counts_instead_of_the_environment(monkeypatch):
    monkeypatch.setenv(PREFIX + "PORT", "9000")
    monkeypatch.setenv(PREFIX + "OPENAI_API_KEY", "k")
    settings = settings_from_environment(port=9001)
    assert (settings.port, settings.openai_api_key) == (9001, SecretStr("k"))


@pytest.mark.parametrize(
    ("variable", "exported", "told"),
    [
        ("PORT", "eighty", "Input should be a valid integer"),
        ("PORT", "70000", "less than or equal to 65535"),
        ("QUEUE_PROCESSING_MODE", "bundles", "Input should be 'per_request', 'serial_bundle' or 'batch_api'"),
        ("SERIAL_BUNDLE_MAX_REQUESTS_PER_CALL", "0", "greater than or equal to 1"),
        ("SERIAL_BUNDLE_MAX_REQUESTS_PER_CALL", "65", "less than or equal to 64"),
        ("QUEUE_HIGH_WATERMARK", "0.4", "greater than or equal to 0.5"),
        ("QUEUE_LOW_WATERMARK", "0.8", "less than 0.8"),
        ("MOCK_ERROR_CODES", "[429", "not a JSON list; values with commas between them will do"),
        ("MOCK_ERROR_RATE", "1.5", "less than or equal to 1"),
        ("OPENROUTER_BASE_URL", "openrouter.ai", "must start with http:// or https://"),
        ("USE_MOCK_LLM", "perhaps", "valid boolean"),
        ("MOCK_MODE", "", "at least 1 character"),
    ],
)
def test_a_bad_variable_names_itself_and_what_it_takes(variable, exported, told, monkeypatch):
    monkeypatch.setenv(PREFIX + variable, exported)
    with pytest.raises(BadInput) as raised:
        settings_from_environment()
    assert raised.value.field == PREFIX + variable
    assert told in str(raised.value)
    assert "Change or unset the variable." in str(raised.value)


@pytest.mark.parametrize("default", [None, "openai"])
def test_a_default_provider_that_is_switched_off_is_refused(default, monkeypatch):
    monkeypatch.setenv(PREFIX + "OPENAI_ENABLED", "false")
    if default is not None:
        monkeypatch.setenv(PREFIX + "DEFAULT_LLM_PROVIDER", default)
    with pytest.raises(BadInput, match="is openai, which LLM_PROVIDER_SERVICE_OPENAI_ENABLED switches off") as raised:
        settings_from_environment()
    assert raised.value.field == PREFIX + "DEFAULT_LLM_PROVIDER"


def test_watermarks_the_wrong_way_round_name_a_variable_even_if_one_of_them_is_the_default(monkeypatch):
    monkeypatch.setenv(PREFIX + "QUEUE_HIGH_WATERMARK", "0.55")
    with pytest.raises(BadInput, match=r"must be less than queue_high_watermark, which is 0\.55") as raised:
        settings_from_environment()
    assert raised.value.field == PREFIX + "QUEUE_LOW_WATERMARK"


SECRETS = ("openai_api_key", "anthropic_api_key", "google_api_key", "openrouter_api_key", "admin_api_key")
WITH_SECRETS = dict.fromkeys(SECRETS, "s3cret") | {"redis_url": "redis://:s3cret@localhost/0"}


def test_secrets_are_neither_shown_nor_written():
    settings = LpsSettings(**WITH_SECRETS)
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert "s3cret" not in text


def test_a_complaint_about_another_setting_shows_no_secret(monkeypatch):
    for name, value in WITH_SECRETS.items():
        monkeypatch.setenv(PREFIX + name.upper(), value)
    monkeypatch.setenv(PREFIX + "PORT", "eighty")
    with pytest.raises(BadInput) as raised:
        settings_from_environment()
    assert "s3cret" not in str(raised.value)
    with pytest.raises(ValidationError) as invalid:
        LpsSettings(**WITH_SECRETS, port="eighty")
    assert "s3cret" not in str(invalid.value)


def test_a_redis_url_of_another_kind_is_refused_without_being_shown():
    with pytest.raises(ValidationError, match="must start with redis://") as invalid:
        LpsSettings(redis_url="http://:s3cret@localhost")
    assert "s3cret" not in str(invalid.value)


SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "cj_pipeline").rglob("*.py"))


@pytest.mark.parametrize("field", sorted(LpsSettings.model_fields))
def test_every_setting_is_read_somewhere(field):
    assert re.search(rf"(settings|self)\.{field}\b", SOURCE)
