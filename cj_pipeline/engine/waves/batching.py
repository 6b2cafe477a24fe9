"""This module resolves request, settings and provider into the batching mode of a batch."""

from __future__ import annotations

from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.contracts.enums import LLMBatchingMode, Provider


def requested_mode(hint: object, override: object) -> LLMBatchingMode | None:
    """Return the mode that a request asks for, or None.

    hint: `llm_batching_mode_hint` of the envelope, in any case; override: `llm_batching_mode_override` of the batch
    configuration. The hint wins; a word that is no mode is ignored, as is anything that is no word.
    """
    return _mode(hint) or _mode(override)


def effective_mode(
    settings: EngineSettings,
    requested: LLMBatchingMode | None,
    *,
    provider_override: object,
    default_provider: Provider,
) -> LLMBatchingMode:
    """Return the mode a batch gets: what was requested, else the setting, where the provider allows it.

    provider_override: from the request, in any case and with spaces round it; one that is no provider is not on a list.
    `provider_batch_api` is kept when the allow-list is empty or names the provider; otherwise the batch gets the
    setting, or serial bundles where the setting is that same mode.
    """
    mode = requested or settings.llm_batching_mode
    if mode is not LLMBatchingMode.PROVIDER_BATCH_API:
        return mode
    allowed = {provider.value for provider in settings.llm_batch_api_allowed_providers}
    if not allowed or _provider(provider_override, default_provider) in allowed:
        return mode
    return _unless_batch_api(settings.llm_batching_mode)


def _unless_batch_api(mode: LLMBatchingMode) -> LLMBatchingMode:
    return LLMBatchingMode.SERIAL_BUNDLE if mode is LLMBatchingMode.PROVIDER_BATCH_API else mode


def _mode(word: object) -> LLMBatchingMode | None:
    if not isinstance(word, str):
        return None
    known = {mode.value: mode for mode in LLMBatchingMode}
    return known.get(word.strip().lower())


def _provider(override: object, default: Provider) -> str:
    return override.strip().lower() if isinstance(override, str) and override.strip() else default.value
