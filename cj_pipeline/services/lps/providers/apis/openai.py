"""This module speaks OpenAI's Chat Completions API: the payload of a comparison.

`reasoning_effort` and `verbosity` are top-level fields of this API; the nested `reasoning` and `text` of the Responses
API are refused here as unknown arguments.
"""

from __future__ import annotations

from typing import Any

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.apis.api import ApiCall, Reply, Timeouts, effort, max_tokens, temperature
from cj_pipeline.services.lps.providers.apis.chat_completion import read_chat_completion
from cj_pipeline.services.lps.providers.apis.verdict import verdict_schema
from cj_pipeline.services.lps.providers.manifest import Model
from cj_pipeline.services.lps.providers.prompts import shown_prompt
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest


class OpenAiApi:
    """Structured output held to a strict schema."""

    name = Provider.OPENAI
    timeouts = Timeouts(total_s=30, connect_s=5, read_s=25)

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        self.default_model = settings.openai_default_model

    def call(self, request: QueuedRequest, model: Model) -> ApiCall:
        """One chat completion."""
        return ApiCall(
            url=f"{self._settings.openai_base_url}/chat/completions",
            headers={"Authorization": f"Bearer {self._settings.openai_api_key.get_secret_value().strip()}"},
            payload=self.payload(request, model),
            max_tokens=max_tokens(request.overrides, self._settings, model),
        )

    def payload(self, request: QueuedRequest, model: Model) -> dict[str, Any]:
        """The body of the call."""
        overrides = request.overrides
        messages = [{"role": "user", "content": shown_prompt(self.name, request.request)}]
        if overrides.system_prompt_override:
            messages.insert(0, {"role": "system", "content": overrides.system_prompt_override})
        limit = max_tokens(overrides, self._settings, model)
        payload: dict[str, Any] = {
            "model": model.model_id,
            "messages": messages,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "comparison_result", "strict": True, "schema": verdict_schema()},
            },
            "max_completion_tokens" if model.uses_max_completion_tokens else "max_tokens": limit,
        }
        warmth = temperature(overrides, self._settings, model)
        if warmth is not None:
            payload["temperature"] = warmth
        reasoning = effort(overrides, model)
        if reasoning is not None:
            payload["reasoning_effort"] = reasoning
        if overrides.output_verbosity is not None and model.takes_verbosity(overrides.output_verbosity):
            payload["verbosity"] = overrides.output_verbosity.value
        return payload

    def read(self, body: bytes) -> Reply:
        """See `Api.read`."""
        return read_chat_completion(body)
