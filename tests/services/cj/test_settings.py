"""Production's names and defaults, and no setting that does nothing."""

from __future__ import annotations

import re

import pytest
import yaml
from pydantic import ValidationError

from cj_pipeline.contracts.engine_settings import EngineSettings, MetadataHint
from cj_pipeline.contracts.enums import LLMBatchingMode, Provider
from cj_pipeline.foundation.environment import unread_variables, warn_of_unread
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.services.cj.settings import CjEnvironment, CjSettings, settings_from_environment
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
        "CJ_ASSESSMENT_SERVICE_HTTP_PROT": "CJ_ASSESSMENT_SERVICE_HTTP_PORT",
        "CJ_ASSESSMENT_SERVICE_REDIS_URL": "CJ_ASSESSMENT_SERVICE_DATABASE_URL",
    }


def test_one_warning_names_all_that_is_set_and_not_read(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_unread(CjEnvironment, {"CJ_ASSESSMENT_SERVICE_HTTP_PROT": "secret", "CJ_ASSESSMENT_SERVICE_XQZ": "secret"})
    (line,) = caplog.messages
    assert "2 variables are set and not read" in line
    assert "CJ_ASSESSMENT_SERVICE_HTTP_PROT (did you mean CJ_ASSESSMENT_SERVICE_HTTP_PORT?)" in line
    assert "secret" not in line
    warn_of_unread(CjEnvironment, {"CJ_ASSESSMENT_SERVICE_HTTP_PORT": "1"})
    assert len(caplog.messages) == 1
