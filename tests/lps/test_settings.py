from __future__ import annotations

import pytest
from pydantic import ValidationError

from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.errors import BadInput
from cj_pipeline.lps.settings import LpsSettings, settings_from_environment


def test_defaults_are_productions():
    settings = LpsSettings()
    assert (settings.mock_mode, settings.mock_provider_seed) == ("default", 42)
    assert (settings.use_mock_llm, settings.allow_mock_provider) == (False, True)
    assert settings.queue_processing_mode is QueueProcessingMode.PER_REQUEST
    assert settings.serial_bundle_max_requests_per_call == 64
    assert (settings.queue_max_size, settings.queue_max_retries) == (1000, 3)
    assert settings.admin_api_enabled


def test_explicit_settings_do_not_read_the_environment(monkeypatch):
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_MOCK_PROVIDER_SEED", "7")
    monkeypatch.setenv("ENVIRONMENT", "production")
    assert LpsSettings().mock_provider_seed == 42
    assert LpsSettings().environment == "development"


def test_the_environment_gives_settings_when_asked(monkeypatch):
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_MOCK_PROVIDER_SEED", "7")
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_QUEUE_PROCESSING_MODE", "serial_bundle")
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_USE_MOCK_LLM", "true")
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_REDIS_URL", "redis://elsewhere")  # another version's variable
    monkeypatch.setenv("ENVIRONMENT", "ci")
    settings = settings_from_environment()
    assert type(settings) is LpsSettings
    assert settings == LpsSettings(
        mock_provider_seed=7,
        queue_processing_mode=QueueProcessingMode.SERIAL_BUNDLE,
        use_mock_llm=True,
        environment="ci",
    )


def test_batch_api_is_refused_until_it_is_built(monkeypatch):
    with pytest.raises(ValidationError, match="not built yet"):
        LpsSettings(queue_processing_mode=QueueProcessingMode.BATCH_API)
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_QUEUE_PROCESSING_MODE", "batch_api")
    with pytest.raises(BadInput, match="LLM_PROVIDER_SERVICE_QUEUE_PROCESSING_MODE: batch_api is not built yet"):
        settings_from_environment()


@pytest.mark.parametrize("cap", [0, 65])
def test_a_bundle_holds_1_to_64(cap):
    with pytest.raises(ValidationError):
        LpsSettings(serial_bundle_max_requests_per_call=cap)
