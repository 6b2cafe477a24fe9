"""Production's names and defaults, and no setting that does nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from cj_pipeline.contracts.engine_settings import EngineSettings, MetadataHint
from cj_pipeline.contracts.enums import LLMBatchingMode, Provider
from cj_pipeline.foundation.environment import unread_variables, warn_of_unread
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.services.cj.environment import (
    NOT_READ,
    ONLY,
    CjEnvironment,
    require_deployed,
    settings_from_environment,
    warn_of_what_is_not_read,
)
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Database
from cj_pipeline.traces.scenario import Scenario
from tests.house import REPOSITORY
from tests.sides import LOWER5, TRACES

PRODUCTION_DEFAULTS = {
    "MAX_PAIRWISE_COMPARISONS": 120,
    "MIN_COMPARISONS_FOR_STABILITY_CHECK": 12,
    "SCORE_STABILITY_THRESHOLD": 0.025,
    "MIN_SUCCESS_RATE_THRESHOLD": 0.8,
    "MIN_RESAMPLING_NET_SIZE": 3,
    "MAX_RESAMPLING_PASSES_FOR_SMALL_NET": 4,
    "MAX_RESAMPLING_PASSES_FOR_REGULAR_BATCH": 1,
    "BT_MEAN_SE_WARN_THRESHOLD": 0.4,
    "BT_MAX_SE_WARN_THRESHOLD": 0.8,
    "BT_MIN_MEAN_COMPARISONS_PER_ITEM": 1.0,
    "PAIR_GENERATION_SEED": None,
    "MATCHING_WEIGHT_COMPARISON_COUNT": 1.0,
    "MATCHING_WEIGHT_BT_PROXIMITY": 0.5,
    "LLM_BATCHING_MODE": LLMBatchingMode.SERIAL_BUNDLE,
    "LLM_BATCH_API_ALLOWED_PROVIDERS": (Provider.OPENAI, Provider.ANTHROPIC),
    "ENABLE_LLM_BATCHING_METADATA_HINTS": False,
    "DEFAULT_LLM_PROVIDER": Provider.OPENAI,
    "DEFAULT_LLM_MODEL": "gpt-5.1",
    "DEFAULT_LLM_TEMPERATURE": 0.1,
    "LLM_PROVIDER_SERVICE_URL": "http://llm_provider_service:8080/api/v1",
    "LLM_PROVIDER_CALLBACK_TOPIC": "huleedu.llm_provider.comparison_result.v1",
    "DEFAULT_BATCH_SIZE": 50,
    "FAILED_COMPARISON_RETRY_THRESHOLD": 20,
    "MAX_RETRY_ATTEMPTS": 3,
    "RETRY_BATCH_SIZE": 50,
    "ENABLE_FAILED_COMPARISON_RETRY": True,
    "BATCH_TIMEOUT_HOURS": 4,
    "BATCH_MONITOR_INTERVAL_MINUTES": 5,
    "MAX_ITERATIONS": 10,
    "LLM_RETRY_ENABLED": True,
    "LLM_RETRY_ATTEMPTS": 3,
    "LLM_RETRY_WAIT_MIN_SECONDS": 1,
    "LLM_RETRY_WAIT_MAX_SECONDS": 30,
    "OUTBOX_POLL_INTERVAL_SECONDS": 5,
    "OUTBOX_BATCH_SIZE": 100,
    "HTTP_PORT": 9090,
    "LLM_REQUEST_TIMEOUT_SECONDS": 30,
}


def test_the_defaults_are_productions() -> None:
    settings = CjSettings()
    assert {name: getattr(settings, name.lower()) for name in PRODUCTION_DEFAULTS} == PRODUCTION_DEFAULTS


def test_every_setting_is_read_somewhere() -> None:
    folders = (REPOSITORY / "cj_pipeline" / "services" / "cj", REPOSITORY / "cj_pipeline" / "cli")
    source = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    unread = [
        name
        for name in CjSettings.model_fields.keys() - EngineSettings.model_fields.keys()
        if not re.search(rf"(settings|self)\.{name}\b", source)
    ]
    assert unread == []


# A value other than the default of every engine setting, as a variable has it and as the engine gets it.
CHANGED: dict[str, tuple[str, object]] = {
    "max_pairwise_comparisons": ("7", 7),
    "min_comparisons_for_stability_check": ("20", 20),
    "score_stability_threshold": ("0.5", 0.5),
    "min_success_rate_threshold": ("0.9", 0.9),
    "min_resampling_net_size": ("5", 5),
    "max_resampling_passes_for_small_net": ("3", 3),
    "max_resampling_passes_for_regular_batch": ("2", 2),
    "matching_weight_comparison_count": ("0.25", 0.25),
    "matching_weight_bt_proximity": ("2", 2.0),
    "pair_generation_seed": ("5", 5),
    "llm_batching_mode": ("per_request", LLMBatchingMode.PER_REQUEST),
    "llm_batch_api_allowed_providers": ("openai, google", (Provider.OPENAI, Provider.GOOGLE)),
    "enable_llm_batching_metadata_hints": ("true", True),
    "metadata_hints": ("cj_source, cj_request_type", (MetadataHint.CJ_SOURCE, MetadataHint.CJ_REQUEST_TYPE)),
    "max_iterations": ("1", 1),
    "enable_failed_comparison_retry": ("false", False),
    "failed_comparison_retry_threshold": ("2", 2),
    "max_retry_attempts": ("1", 1),
    "retry_batch_size": ("9", 9),
    "bt_alpha": ("0.5", 0.5),
}


def test_every_engine_setting_can_be_changed() -> None:
    assert EngineSettings.model_fields.keys() - CHANGED.keys() == {"pairing"}  # a service has no recorded pairs
    assert all(getattr(EngineSettings(), name) != value for name, (_, value) in CHANGED.items())


@pytest.mark.parametrize("name", CHANGED)
def test_an_engine_setting_reaches_the_engine_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exported, value = CHANGED[name]
    monkeypatch.setenv(f"CJ_ASSESSMENT_SERVICE_{name.upper()}", exported)
    assert settings_from_environment().engine() == EngineSettings.model_validate({name: value})


@pytest.mark.parametrize("name", CHANGED)
def test_an_engine_setting_reaches_the_engine_from_a_scenario(name: str) -> None:
    _, value = CHANGED[name]
    document = yaml.safe_load((TRACES / LOWER5 / "scenario.yaml").read_text())
    written = EngineSettings.model_validate({name: value}).model_dump(mode="json")[name]
    document["engine"] = {name: written}
    assert Scenario.model_validate(document).engine == EngineSettings.model_validate({name: value})


def test_a_service_has_no_recorded_pairs_to_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_PAIRING", "balanced")
    assert settings_from_environment().engine() == EngineSettings()
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_PAIRING", "recorded")
    with pytest.raises(BadInput, match="use 'balanced'") as raised:
        settings_from_environment()
    assert raised.value.field == "CJ_ASSESSMENT_SERVICE_PAIRING"


def test_the_environment_is_read_under_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_MAX_PAIRWISE_COMPARISONS", "288")
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_LLM_BATCH_API_ALLOWED_PROVIDERS", "[]")
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_SOMETHING_ELSE", "x")
    monkeypatch.setenv("MAX_RETRY_ATTEMPTS", "9")
    settings = settings_from_environment(http_port=0)
    assert (settings.max_pairwise_comparisons, settings.max_retry_attempts, settings.http_port) == (288, 3, 0)
    assert settings.llm_batch_api_allowed_providers == ()
    assert CjSettings().max_pairwise_comparisons == 120


def test_a_bad_value_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_MIN_SUCCESS_RATE_THRESHOLD", "80")
    with pytest.raises(BadInput, match="CJ_ASSESSMENT_SERVICE_MIN_SUCCESS_RATE_THRESHOLD") as raised:
        settings_from_environment()
    assert "80" not in str(raised.value)


@pytest.mark.parametrize(
    ("environment", "given", "answer"),
    [
        ("development", None, True),
        ("production", None, False),
        ("production", True, True),
        ("development", False, False),
    ],
)
def test_the_admins_endpoints_are_off_in_production_unless_set(
    environment: str, given: bool | None, answer: bool
) -> None:
    assert CjSettings(environment=environment, enable_admin_endpoints=given).admin_endpoints is answer


WITH_A_PASSWORD = "postgresql://cj:s3cret@db/cj"


def test_a_password_in_the_url_is_neither_shown_nor_written() -> None:
    settings = CjSettings(database_url=WITH_A_PASSWORD)
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert "s3cret" not in text


def test_a_complaint_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for misnamed_or_mistyped in ({"databse_url": WITH_A_PASSWORD}, {"database_url": [WITH_A_PASSWORD]}):
        with pytest.raises(ValidationError, match=r"databa?se_url") as invalid:
            CjSettings.model_validate(misnamed_or_mistyped)
        assert "s3cret" not in str(invalid.value)
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_DATABASE_URL", WITH_A_PASSWORD)
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_HTTP_PORT", "ninety")
    with pytest.raises(BadInput, match="CJ_ASSESSMENT_SERVICE_HTTP_PORT") as raised:
        settings_from_environment()
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["mysql://cj:s3cret@db/cj", "cj:s3cret@db/cj", "", "postgresql://db:s3cret/cj", "sqlite:s3cret"]
)
def test_a_url_that_is_no_databases_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(BadInput, match="is not the URL of a database") as raised:
        Database(url)
    assert raised.value.field == "CJ_ASSESSMENT_SERVICE_DATABASE_URL"
    assert "s3cret" not in str(raised.value)


def test_a_level_of_logs_is_a_name_in_either_case_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_LOG_LEVEL", "warning")
    assert settings_from_environment().log_level == "WARNING"
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_LOG_LEVEL", "warnning")
    with pytest.raises(BadInput, match="Did you mean 'WARNING'") as raised:
        settings_from_environment()
    assert raised.value.field == "CJ_ASSESSMENT_SERVICE_LOG_LEVEL"


@pytest.mark.parametrize(
    ("exported", "providers"),
    [
        ("openai, google", (Provider.OPENAI, Provider.GOOGLE)),
        ('["openai", "google"]', (Provider.OPENAI, Provider.GOOGLE)),
        ("mock", (Provider.MOCK,)),
        ("", ()),
    ],
)
def test_a_list_is_written_with_commas_or_as_json(
    exported: str, providers: tuple[Provider, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_LLM_BATCH_API_ALLOWED_PROVIDERS", exported)
    assert settings_from_environment().llm_batch_api_allowed_providers == providers


def test_half_a_list_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_LLM_BATCH_API_ALLOWED_PROVIDERS", '["openai"')
    with pytest.raises(BadInput, match="LLM_BATCH_API_ALLOWED_PROVIDERS: not a JSON list"):
        settings_from_environment()


def test_what_is_given_counts_instead_of_a_variable_that_could_not_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_HTTP_PORT", "ninety")
    monkeypatch.setenv("ENVIRONMENT", "production")
    assert settings_from_environment(http_port=0).http_port == 0
    assert settings_from_environment(http_port=0).environment == "production"


def test_a_variable_that_nothing_reads_is_named_with_the_nearest_one() -> None:
    exported = {
        "CJ_ASSESSMENT_SERVICE_HTTP_PROT": "1",
        "CJ_ASSESSMENT_SERVICE_REDIS_URL": "redis://localhost",
        "CJ_ASSESSMENT_SERVICE_HTTP_PORT": "9090",
        "LLM_PROVIDER_SERVICE_PORT": "8080",
        "ENVIRONMENT": "production",
    }
    assert unread_variables(CjEnvironment, exported) == {
        "CJ_ASSESSMENT_SERVICE_HTTP_PROT": "did you mean CJ_ASSESSMENT_SERVICE_HTTP_PORT?",
        "CJ_ASSESSMENT_SERVICE_REDIS_URL": "did you mean CJ_ASSESSMENT_SERVICE_DATABASE_URL?",
    }
    told = unread_variables(CjEnvironment, exported, NOT_READ)
    assert told["CJ_ASSESSMENT_SERVICE_REDIS_URL"] == "the database knows what was processed"


def test_one_warning_names_all_that_is_set_and_not_read(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_unread(CjEnvironment, {"CJ_ASSESSMENT_SERVICE_HTTP_PROT": "secret", "CJ_ASSESSMENT_SERVICE_XQZ": "secret"})
    (line,) = caplog.messages
    assert "2 variables are set and not read" in line
    assert "CJ_ASSESSMENT_SERVICE_HTTP_PROT (did you mean CJ_ASSESSMENT_SERVICE_HTTP_PORT?)" in line
    assert "secret" not in line
    warn_of_unread(CjEnvironment, {"CJ_ASSESSMENT_SERVICE_HTTP_PORT": "1"})
    assert len(caplog.messages) == 1


# What a swap must honour, refuse or name, by hand. The values are such as production's environment has.
PREFIX = "CJ_ASSESSMENT_SERVICE_"
HONOURED: dict[str, tuple[str, object]] = {
    "JWT_SECRET_KEY": ("s" * 40, "s" * 40),
    "JWT_PUBLIC_KEY": ("-----BEGIN", "-----BEGIN"),
    "JWT_PUBLIC_KEY_PATH": ("/keys/public.pem", Path("/keys/public.pem")),
    "JWT_JWKS_URL": ("https://identity/keys", "https://identity/keys"),
    "JWT_ALGORITHM": ("RS256", "RS256"),
    "JWT_AUDIENCE": ("huleedu-platform", "huleedu-platform"),
    "JWT_ISSUER": ("huleedu-identity-service", "huleedu-identity-service"),
    "INTERNAL_API_KEY": ("k" * 40, "k" * 40),
    "CJ_ASSESSMENT_REQUEST_TOPIC": ("asked.v1", "asked.v1"),
    "CJ_ASSESSMENT_COMPLETED_TOPIC": ("completed.v1", "completed.v1"),
    "CJ_ASSESSMENT_FAILED_TOPIC": ("failed.v1", "failed.v1"),
    "ASSESSMENT_RESULT_TOPIC": ("result.v1", "result.v1"),
    "CONSUMER_GROUP_ID_CJ": ("group", "group"),
    "PRODUCER_CLIENT_ID_CJ": ("producer", "producer"),
    "DATABASE_POOL_SIZE": ("20", 20),
    "DATABASE_MAX_OVERFLOW": ("10", 10),
    "DATABASE_POOL_PRE_PING": ("false", False),
    "DATABASE_POOL_RECYCLE": ("3600", 3600),
    "KAFKA_BOOTSTRAP_SERVERS": ("kafka:9092", "kafka:9092"),
    "DATABASE_URL": ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d"),
}
REFUSED = {
    "PAIR_MATCHING_STRATEGY": ("optimal_graph", "random"),
    "PAIR_ORIENTATION_STRATEGY": ("fair_complement", "coin"),
    "LLM_RETRY_EXPONENTIAL_BASE": ("2", "3"),
}
NAMED = [
    "LLM_RETRY_ON_EXCEPTION_NAMES",
    "OUTBOX_MAX_RETRIES",
    "OUTBOX_ERROR_RETRY_INTERVAL_SECONDS",
    "OUTBOX_ENABLE_METRICS",
    "OUTBOX_ENABLE_WAKE_NOTIFICATIONS",
    "CIRCUIT_BREAKER_ENABLED",
    "KAFKA_CIRCUIT_BREAKER_FAILURE_THRESHOLD",
    "KAFKA_CIRCUIT_BREAKER_RECOVERY_TIMEOUT",
    "KAFKA_CIRCUIT_BREAKER_SUCCESS_THRESHOLD",
    "KAFKA_FALLBACK_QUEUE_SIZE",
    "REDIS_URL",
    "SERVICE_NAME",
    "VERSION",
    "MAX_CONCURRENT_COMPARISONS",
    "RETRY_BATCH_PRIORITY",
    "MIN_ANCHORS_REQUIRED",
    "MAX_HESSIAN_BATCH_SIZE",
    "CONFIDENCE_CALCULATION_TIMEOUT",
    "MAX_TOKENS_RESPONSE",
    "TEMPERATURE",
]


@pytest.mark.parametrize("name", HONOURED)
def test_a_variable_that_changes_access_or_where_data_goes_is_honoured(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported, value = HONOURED[name]
    monkeypatch.setenv(PREFIX + name, exported)
    found = getattr(settings_from_environment(), name.lower())
    assert (found.get_secret_value() if hasattr(found, "get_secret_value") else found) == value
    assert unread_variables(CjEnvironment, {PREFIX + name: exported}) == {}


@pytest.mark.parametrize("name", REFUSED)
def test_a_strategy_that_is_not_done_here_is_refused_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done, other = REFUSED[name]
    monkeypatch.setenv(PREFIX + name, done)
    settings_from_environment()
    monkeypatch.setenv(PREFIX + name, other)
    with pytest.raises(BadInput, match="nothing else is done here") as raised:
        settings_from_environment()
    assert raised.value.field == PREFIX + name


def test_every_other_variable_of_productions_is_named_with_what_there_is_instead(
    caplog: pytest.LogCaptureFixture,
) -> None:
    warn_of_what_is_not_read(dict.fromkeys([PREFIX + name for name in (*NAMED, *REFUSED, *HONOURED)], "secret"))
    (line,) = caplog.messages
    assert all(f"{PREFIX}{name} ({NOT_READ[name]})" in line for name in NAMED)
    assert f"{len(NAMED)} variables are set and not read" in line
    assert "secret" not in line
    assert (set(NOT_READ), set(ONLY)) == (set(NAMED), set(REFUSED))


DB_PARTS = {
    "DB_HOST": "db",
    "DB_PORT": "5434",
    "DB_NAME": "huleedu_cj_assessment",
    "DB_USER": "cj",
    "DB_PASSWORD": "p@ss/word",
}


def database_of(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return settings_from_environment().database_url.get_secret_value()


def test_a_database_is_found_under_each_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {PREFIX + name: value for name, value in DB_PARTS.items()}
    put_together = "postgresql://cj:p%40ss%2Fword@db:5434/huleedu_cj_assessment"
    assert database_of(parts, monkeypatch) == put_together
    assert database_of({"SERVICE_DATABASE_URL": "postgresql://b/c"}, monkeypatch) == "postgresql://b/c"
    assert database_of({PREFIX + "DATABASE_URL": "postgresql://a/c"}, monkeypatch) == "postgresql://a/c"
    assert settings_from_environment(database_url="sqlite://").database_url.get_secret_value() == "sqlite://"


@pytest.mark.parametrize("missing", [name for name in DB_PARTS if name != "DB_PORT"])
def test_half_a_database_is_refused_by_what_is_missing(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=f"{PREFIX}DATABASE_URL") as raised:
        database_of({PREFIX + name: value for name, value in DB_PARTS.items() if name != missing}, monkeypatch)
    assert raised.value.field == PREFIX + missing
    assert "p@ss" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["HULEEDU_DB_USER", "HULEEDU_DB_PASSWORD", "HULEEDU_PROD_DB_HOST", "HULEEDU_PROD_DB_PASSWORD"]
)
def test_a_shared_database_variable_alone_is_refused_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=f"Set {PREFIX}DATABASE_URL") as raised:
        database_of({name: "s3cret"}, monkeypatch)
    assert raised.value.field == name
    assert "s3cret" not in str(raised.value)
    assert settings_from_environment(database_url="sqlite://").in_production is False


@pytest.mark.parametrize(
    ("environment", "env_type", "production"),
    [("", "", False), ("production", "", True), ("", "production", True), ("development", "production", True)],
)
def test_production_does_not_start_on_sqlite(
    environment: str, env_type: str, production: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVIRONMENT", environment)
    monkeypatch.setenv("ENV_TYPE", env_type)
    settings = settings_from_environment()
    assert settings.in_production is production
    if production:
        with pytest.raises(BadInput, match=f"{PREFIX}DATABASE_URL: names no PostgreSQL"):
            require_deployed(settings)
    require_deployed(settings_from_environment(database_url="postgresql://h/d"))


@pytest.mark.parametrize("name", ["cj_assessment_request_topic", "llm_provider_callback_topic"])
def test_a_topic_has_a_name_that_a_broker_takes(name: str) -> None:
    with pytest.raises(ValidationError, match="is not a topic's name"):
        CjSettings(**{name: "a/b"})
