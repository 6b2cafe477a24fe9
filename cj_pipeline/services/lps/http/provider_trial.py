"""This module puts one small comparison to a provider, past the queue: `POST /api/v1/providers/{provider}/test`."""

from __future__ import annotations

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_WORDS
from cj_pipeline.contracts.comparison import ComparisonRequest, LLMConfigOverrides
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.foundation.errors import did_you_mean
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.services.lps.http.answers import ProviderTrial
from cj_pipeline.services.lps.http.refusals import FlatRefusal
from cj_pipeline.services.lps.service import LlmProviderService
from cj_pipeline.services.lps.settings import variable_that_enables

_PROMPT = (
    "Essay A:\nThe sun rises in the east.\n\nEssay B:\nSun east.\n\n"
    "Decide which of the two essays is better. Reply with the winner ('Essay A' or 'Essay B'), a justification of at "
    f"most {MAX_JUSTIFICATION_WORDS} words, and your confidence from 1 to 5."
)
_STATUS = {ErrorCode.TIMEOUT: 504, ErrorCode.CONNECTION_ERROR: 503, ErrorCode.RATE_LIMIT: 429}


async def try_provider(service: LlmProviderService, name: str) -> ProviderTrial:
    """Ask once. With a real provider it costs what one short comparison costs. Raises Refusal."""
    known = [provider.value for provider in Provider]
    if name not in known:
        raise FlatRefusal(400, "Unknown provider", details=did_you_mean(name[:40], known))
    provider = service.providers.get(Provider(name))
    if provider is None:
        remedy = "Set its API key, or USE_MOCK_LLM."
        if name in service.settings.switched_off:
            remedy = f"{variable_that_enables(Provider(name))} switches it off."
        raise FlatRefusal(400, "Provider is not registered", details=remedy)
    request = ComparisonRequest(
        user_prompt=_PROMPT,
        callback_topic="unused",
        metadata={"essay_a_id": "trial-a", "essay_b_id": "trial-b"},
        llm_config_overrides=LLMConfigOverrides(provider_override=Provider(name)),
    )
    try:
        answer = await provider.answer(service.trial(request, keyed_uuid("lps", "trial", name)), 0)
    except ProviderError as error:
        service.stats.attempted(Provider(name), error.failure)
        raise FlatRefusal(
            _STATUS.get(error.failure.code, 502), "Provider test failed", details=error.failure.message
        ) from None
    service.stats.attempted(Provider(name), answer)
    message = f"{answer.model} answered in {answer.response_time_ms} ms."
    return ProviderTrial(success=True, provider=Provider(name), message=message)
